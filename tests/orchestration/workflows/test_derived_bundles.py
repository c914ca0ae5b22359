"""Bundles that a command derives from others: one writer at a time, and no files of killed ones."""

import shutil
from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration.workflows.merging import MergeOptions, merge
from orchestration.workflows.new_bundle import new_bundle
from orchestration.workspace import Workspace
from tests.support.adapters import write_adapter, write_base


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapter")
    write_base(root / "base")
    return write_adapter(root / "run", root / "base")


def merged(adapter: Path, folder: Path) -> str:
    options = MergeOptions(str(adapter), out=folder)
    return merge(options, Workspace(folder.parent / "runs")).id


def test_a_merge_deletes_what_a_killed_one_left_and_nothing_else(tmp_path, adapter) -> None:
    left, others = tmp_path / ".m.part-0123abcd", tmp_path / ".other.part-0123abcd"
    for folder in (left, others):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
    made = merged(adapter, tmp_path / "m")
    assert not left.exists() and others.exists()
    assert made == open_bundle(tmp_path / "m").id == merged(adapter, tmp_path / "again")


def test_an_existing_folder_is_refused_before_anything_is_read(tmp_path, adapter, monkeypatch) -> None:
    monkeypatch.setattr("orchestration.workflows.merging.merge_adapter", lambda *_: pytest.fail("composed"))
    (tmp_path / "m").mkdir()
    with pytest.raises(AnimaticError, match=r"m exists: bundles are never overwritten; .* --out"):
        merged(adapter, tmp_path / "m")


def test_a_second_command_is_refused_while_the_first_writes(tmp_path, adapter) -> None:
    with (
        new_bundle(tmp_path / "m", "calibrate-motion", 1),
        pytest.raises(AnimaticError, match=r"another calibrate-motion \(process \d+ on .*\) is writing to"),
    ):
        merged(adapter, tmp_path / "m")


def test_a_disk_without_room_is_refused_before_the_work(tmp_path, adapter, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    monkeypatch.setattr("orchestration.workflows.merging.merge_adapter", lambda *_: pytest.fail("composed"))
    with pytest.raises(AnimaticError, match=r"cannot be written to .*: No space left.*free space, then"):
        merged(adapter, tmp_path / "m")
    assert not (tmp_path / "m").exists()
