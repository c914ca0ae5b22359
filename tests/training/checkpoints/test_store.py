"""Checkpoints are complete or do not exist; damaged and foreign ones are not loaded."""

import json
from pathlib import Path

import pytest

from core.errors import AnimaticError
from training.checkpoints import CheckpointIdentity, CheckpointStore, find_damage, read_manifest
from training.process_group import ProcessGroup

IDENTITY = CheckpointIdentity(trajectory="t" * 64, dataset="d" * 64, base=None, parent="p" * 64, world_size=1)


class Counter:
    """A state of one number."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def save(self, folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "counter.txt").write_text(str(self.value))

    def load(self, folder: Path) -> None:
        self.value = int((folder / "inner" / "counter.txt").read_text())


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "checkpoints"


def open_store(root, keep=2, **changed):
    return CheckpointStore(root, IDENTITY.model_copy(update=changed), ProcessGroup(0, 1), keep)


def folders(root):
    return sorted(path.name for path in root.iterdir())


def newest_step(root, warnings):
    found = open_store(root).newest(warnings.append)
    return found and found.step


def test_the_newest_checkpoint_is_loaded(root):
    store = open_store(root)
    for step in (2, 4):
        saved = store.save(step, [Counter(step * 10)])
    warnings: list[str] = []
    found, counter = store.newest(warnings.append), Counter()
    assert found == saved and not warnings
    store.load(found, [counter])
    assert counter.value == 40


def test_without_a_checkpoint_nothing_is_loaded(root):
    assert open_store(root).newest(print) is None


def test_older_checkpoints_than_those_to_keep_are_deleted(root):
    store = open_store(root, keep=2)
    for step in (1, 2, 3, 10):
        store.save(step, [Counter()])
    assert folders(root) == ["step-00000003", "step-00000010"]


def test_a_step_is_saved_again_in_place_of_its_damaged_checkpoint(root):
    store = open_store(root)
    (store.save(2, [Counter(1)]).path / "inner" / "counter.txt").write_text("9")
    saved = store.save(2, [Counter(7)])
    assert find_damage(saved.path) is None
    assert (saved.path / "inner" / "counter.txt").read_text() == "7"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "counter.txt is missing"),
        (lambda file: file.write_text("123"), "counter.txt has 3 bytes instead of 2"),
        (lambda file: file.write_text("41"), "counter.txt does not match its recorded sha256"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(root, damage, message):
    store, warnings = open_store(root), []
    store.save(2, [Counter(20)])
    damage(store.save(4, [Counter(40)]).path / "inner" / "counter.txt")
    assert newest_step(root, warnings) == 2
    assert len(warnings) == 1 and message in warnings[0] and "step-00000004 is damaged" in warnings[0]


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_checkpoint_without_a_readable_manifest_is_skipped(root, content):
    store, warnings = open_store(root), []
    store.save(2, [Counter()])
    manifest = store.save(4, [Counter()]).path / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    assert newest_step(root, warnings) == 2 and "manifest.json is" in warnings[0]


def test_interrupted_save_is_no_checkpoint(root):
    store, warnings = open_store(root), []
    store.save(2, [Counter()])
    saved = store.save(4, [Counter()])
    (saved.path / "manifest.json").unlink()
    saved.path.rename(root / "step-00000004.partial")
    assert newest_step(root, warnings) == 2
    assert folders(root) == ["step-00000002"] and not warnings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"world_size": 4}, "was written by 1 workers, this run has 4: resume with launch.workers=1"),
        ({"trajectory": "x"}, r"belongs to another run \(different trajectory\)"),
        ({"base": "x", "parent": None}, r"belongs to another run \(different base, parent\)"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(root, changed, message):
    saved, counter = open_store(root).save(2, [Counter(20)]), Counter()
    with pytest.raises(AnimaticError, match=message):
        open_store(root, **changed).load(saved, [counter])
    assert counter.value == 0


def test_manifests_written_by_earlier_versions_are_read(tmp_path):
    files = {"ema-00000.pt": {"bytes": 7, "sha256": "0" * 64}}
    (tmp_path / "manifest.json").write_text(
        json.dumps({"format": 1, "step": 3, **IDENTITY.model_dump(), "files": files}, indent=1)
    )
    manifest = read_manifest(tmp_path)
    assert manifest.step == 3 and manifest.files["ema-00000.pt"].bytes == 7
    assert manifest.differences(IDENTITY) == []
