"""The verb lineage prints a tree, writes a page, and its exit code is that of its worst part."""

import json
from pathlib import Path

import pytest

from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workspace import Workspace
from tests.support.command import run
from tests.support.small_stages import make_bundle, tamper


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose parent is in the ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    parent = make_bundle(tmp_path / "parent", stage=2)
    accept(Workspace.current().ledger, open_bundle(tmp_path / "parent"))
    make_bundle(tmp_path / "child", parent=parent)
    return tmp_path / "child"


def test_a_lineage_with_missing_parts_is_printed_and_written(bundle: Path) -> None:
    result = run("lineage", "child", "--html", "pages/lineage.html")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("bundle of stage 3, tiny  ") and lines[0].endswith("  child  verified")
    assert lines[-2:] == ["5 parts: 2 verified, 3 missing", "page pages/lineage.html"]
    assert Path("pages/lineage.html").read_text().startswith("<!doctype html>")
    printed = json.loads(run("lineage", "child", "--json", "--html", "page.html").stdout)
    assert printed["page"] == "page.html"
    assert [link["stage"] for link in printed["lineage"]] == [3, 2]
    assert printed["graph"]["bundle_id"] == printed["lineage"][0]["bundle_id"]


def test_a_changed_part_is_named_after_all_others_and_the_exit_code_is_1(bundle: Path) -> None:
    tamper(Path("parent"))
    for options in ((), ("--json",)):
        result = run("lineage", "child", *options)
        assert result.exit_code == 1
        assert "parent" in result.stdout
        assert result.stderr.startswith("error: the lineage is damaged: bundle of stage 2, tiny: bundle ")
        assert len(result.stderr.splitlines()) == 1
