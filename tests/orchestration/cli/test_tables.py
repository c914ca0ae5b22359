"""Tables are whole in a pipe and wrapped on a terminal, however narrow."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from models.bundle import open_bundle
from orchestration.cli.tables import write_table
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.command import run
from tests.support.small_stages import make_bundle

COLUMNS = ("when", "bundle", "who", "where", "")
FOLDER = "/mnt/a store/" + "very-" * 30 + "long/[red]bundle[/]"
ROWS = [
    ("2026-11-26T00:47:13+00:00", "a3f1" * 3, "ann", FOLDER, "champion"),
    ("2026-11-26T00:47:14+00:00", "b4f2" * 3, None, "短い名前", ""),
]


def written(width: int, *, terminal: bool) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=terminal, color_system=None)
    write_table(console, COLUMNS, ROWS)
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("width", [10, 80, 400])
def test_a_row_is_one_whole_line_in_a_pipe(width: int) -> None:
    header, first, second = written(width, terminal=False)
    assert header.split() == [name for name in COLUMNS if name]
    assert re.split("  +", first) == [*ROWS[0]]
    assert re.split("  +", second) == ["2026-11-26T00:47:14+00:00", "b4f2" * 3, "-", "短い名前"]
    assert first.index("ann") == second.index("-", 30)


@pytest.mark.parametrize("width", [8, 20, 40, 60, 80, 120, 300])
def test_nothing_is_cut_on_a_terminal_of_any_width(width: int) -> None:
    lines = written(width, terminal=True)
    whole = re.sub(r"\s", "", "".join(lines))
    for cell in (*ROWS[0][:3], *ROWS[1][:2], ROWS[1][3]):
        assert re.sub(r"\s", "", str(cell)) in whole
    if width >= 80:  # a table with one folded column
        assert max(map(cell_len, lines)) <= width
        assert FOLDER.replace(" ", "") in whole.replace("champion", "")
    else:  # a block for each row
        assert f"where: {FOLDER}" in lines
        assert "champion" in lines


def test_control_characters_in_a_cell_do_not_reach_the_terminal() -> None:
    screen = io.StringIO()
    write_table(Console(file=screen, width=80, force_terminal=True), ("note",), [("\x1b[2Jx\r\ny\t",)])
    assert "\\x1b[2Jx\\r\\ny\\t" in screen.getvalue()


def test_the_tables_of_verbs_are_whole_in_a_pipe(here, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    folder = here / ("deep-" * 20)
    make_bundle(folder, stage=3)
    accept(Workspace.current().ledger, open_bundle(folder))
    listed = run("registry").stdout.splitlines()
    assert listed[0].split() == ["when", "event", "bundle", "stage", "preset", "who", "where"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00  accepted", listed[1])
    assert listed[1].endswith(f"  {folder.name}")
    assert f"  {folder.name}  verified" in run("lineage", folder).stdout.splitlines()[0]
