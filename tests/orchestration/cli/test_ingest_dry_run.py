"""``animatic ingest --dry-run`` as its user sees it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app

TABLE = "videoid;contentUrl;name;licence\n" + "".join(
    f"{n};https://films.example/a{n}.mp4?token=s3cr3t;{'a cat that sits on a mat ' * 9 if n else ''};free\n"
    for n in range(30)
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE)
    return tmp_path / "t.csv"


def test_the_page_is_plain_text_of_a_hundred_columns_and_nothing_is_left(table: Path) -> None:
    result = CliRunner().invoke(app, ["ingest", str(table), "--dry-run", "--out", str(table.parent / "data")])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "dry run: no video was fetched, nothing was written"
    for heading in ("Source  ", "Rows  30", "Rows as they will be treated", "Doubts", "Output  "):
        assert any(line.startswith(heading) for line in lines), heading
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in result.stdout
    assert "s3cr3t" not in result.output
    assert "semicolon between fields" in result.stdout
    assert "rejected, no_caption" in result.stdout
    assert list(table.parent.iterdir()) == [table]


def test_further_captions_are_not_called_rejected(table: Path) -> None:
    address = "https://films.example/1.mp4"
    table.write_text(f"videoid,name,contentUrl\n1,a cat,{address}\n1,a dog,{address}\n")
    result = CliRunner().invoke(app, ["ingest", str(table), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "rejected" not in result.stdout
    assert "1 (50.0%): further captions, stored with their video" in result.stdout
    assert "2 each in 1 rows" in result.stdout


def test_the_json_has_the_same(table: Path) -> None:
    result = CliRunner().invoke(app, ["ingest", str(table), "--dry-run", "--json"])
    found = json.loads(result.stdout)
    assert (found["counts"]["rows"], found["counts"]["tried"]) == (30, 29)
    assert found["files"][0]["delimiter"] == ";"
    assert found["rows"][1]["locations"] == ["https://films.example/a1.mp4?token=***"]
    assert found["output"]["units"] == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--probe"], "--probe is without effect without --dry-run"),
        (["--dry-run", "--address", "auto"], "--address is without effect with --dry-run"),
        (["--dry-run", "--replace"], "--replace is without effect with --dry-run"),
    ],
)
def test_options_without_effect_are_refused(table: Path, options: list[str], error: str) -> None:
    result = CliRunner().invoke(app, ["ingest", str(table), *options])
    assert result.exit_code == 1
    assert error in result.stderr
