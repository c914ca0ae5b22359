"""``animatic page`` on finished evaluations: what it writes and prints, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from tests.support.evaluated import finished_evaluation


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory) -> Path:
    """Evaluations of two systems on the same clips."""
    folder = tmp_path_factory.mktemp("evaluations")
    for name in ("first", "second"):
        finished_evaluation(folder / name, name, clips=4)
    return folder


@pytest.fixture
def here(evaluations, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    shutil.copytree(evaluations, tmp_path, dirs_exist_ok=True)
    return tmp_path


def page(*arguments: str):
    return CliRunner().invoke(app, ["page", *arguments])


def test_systems_are_put_side_by_side(here):
    result = page("first/report.json", "second/report.json", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert Path(printed["page"]).parent.parent == Path("runs/pages")
    content = Path(printed["page"]).read_text()
    assert "first · second" in content and (Path(printed["page"]).parent / "clips/00003-real.mp4").is_file()
    assert page("first/report.json", "--out", "own").stdout == "page own/index.html\n"


def test_reports_that_cannot_be_put_on_a_page_are_refused_in_one_line(here):
    finished_evaluation(here / "other", "other", clips=5)
    edited = json.loads((here / "second" / "report.json").read_text())
    edited["metrics"]["flicker"]["value"] = 0.0
    (here / "second" / "report.json").write_text(json.dumps(edited))
    for cause, *reports in (
        ("named twice", "first", "first"),
        ("not evaluated by the protocol of first", "first", "other"),
        ("was edited", "first", "second"),
        ("cannot be read", "nowhere"),
    ):
        result = page(*(f"{name}/report.json" for name in reports))
        assert result.exit_code == 1 and cause in result.stderr and result.stderr.count("\n") == 1
    assert not Path("runs/pages").exists()
