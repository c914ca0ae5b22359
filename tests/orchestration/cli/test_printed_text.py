"""Paths, prompts and names from outside are printed as they are: no markup, no emoji codes, no controls."""

import pytest

from orchestration.cli.common import err, out, print_table, print_warning
from tests.support.command import fails, run
from tests.support.small_stages import make_bundle

OUTSIDE = "a :cat: [copy] [/x] [bold]红\u3000ü"
CONTROLS = "\x1b]0;title\x07\x1b[2J\udcff\u202e"
ESCAPED = r"\x1b]0;title\x07\x1b[2J\udcff\u202e"


@pytest.mark.parametrize(
    "text, printed", [(OUTSIDE, OUTSIDE), (CONTROLS, ESCAPED), ("a\tb\nc", "a       b\nc")]
)
def test_text_from_outside_is_printed_as_it_is(
    text: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out().print(text)
    print_warning(text)
    err().print(text)
    captured = capsys.readouterr()
    assert captured.out == printed + "\n"
    assert captured.err == 2 * (printed + "\n")


def test_errors_print_no_password_or_signature() -> None:
    fails("https://h.invalid/d?sig=***", "verify", "https://ana:pw@h.invalid/d?sig=abc")


def test_tables_print_one_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [(OUTSIDE,), (CONTROLS,), ("a\nb\tc",)])
    assert capsys.readouterr().out.splitlines() == ["name", OUTSIDE, ESCAPED, r"a\nb\tc"]


def test_markup_is_not_replaced_even_where_a_caller_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    out().print(OUTSIDE, markup=True, emoji=True)
    assert capsys.readouterr().out == OUTSIDE + "\n"


def test_results_and_errors_name_folders_as_they_are(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    name = "dir :cat: [bold] [x]"
    make_bundle(tmp_path / name)
    result = run("lineage", name)
    assert result.exit_code == 0, result.output
    assert f"  {name}  verified" in result.stdout.splitlines()[0]
    fails("[red] :cat: \\x1b[2J", "lineage", "[red] :cat: \x1b[2J")
