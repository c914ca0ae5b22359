"""Checkpoints are complete or do not exist; damaged and foreign ones are not loaded."""

import contextlib
import errno
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import training.checkpoints.store as store_module
from core.errors import AnimaticError
from training.checkpoints import CheckpointIdentity, CheckpointStore, find_damage, read_manifest
from training.processes.group import ProcessGroup

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


def test_a_checkpoint_of_another_format_is_refused_and_stays(root):
    manifest = open_store(root).save(2, [Counter()]).path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    with pytest.raises(AnimaticError, match="has format 2, this version of animatic reads format 1"):
        newest_step(root, [])
    assert folders(root) == ["step-00000002"]


def test_what_a_later_version_records_besides_is_ignored(root):
    manifest = open_store(root).save(2, [Counter()]).path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "compressed": False}))
    assert newest_step(root, warnings := []) == 2
    assert not warnings


def test_without_a_checkpoint_nothing_is_loaded(root):
    assert open_store(root).newest(print) is None


def test_older_checkpoints_than_those_to_keep_are_deleted(root):
    store = open_store(root, keep=2)
    for step in (1, 2, 3, 10):
        store.save(step, [Counter()])
    assert folders(root) == ["step-00000003", "step-00000010"]


def test_what_an_interrupted_save_of_the_same_step_left_is_not_part_of_the_next(root):
    left = root / "step-00000002.partial"
    left.mkdir(parents=True)
    (left / "other.pt").write_text("half")
    saved = open_store(root).save(2, [Counter()])
    assert set(read_manifest(saved.path).files) == {"inner/counter.txt"}
    assert not (saved.path / "other.pt").exists() and folders(root) == ["step-00000002"]


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


def test_a_checkpoint_of_videos_that_were_taken_down_since_names_the_takedown(root):
    saved = open_store(root).save(2, [Counter()])
    identity = IDENTITY.model_copy(update={"dataset": "e" * 64})
    store = CheckpointStore(
        root, identity, ProcessGroup(0, 1), 2, taken_down={IDENTITY.dataset: "2026-11-26"}
    )
    with pytest.raises(AnimaticError, match=r"taken down on 2026-11-26.*another folder \(--out\)"):
        store.load(saved, [Counter()])


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


def test_older_checkpoints_stay_while_the_newest_is_not_whole(root, monkeypatch):
    store = open_store(root, keep=1)
    store.save(2, [Counter(20)])

    def loses_a_file(partial, path):
        (partial / "inner" / "counter.txt").unlink()
        partial.rename(path)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "move_into_place", loses_a_file)
        store.save(4, [Counter(40)])
    assert newest_step(root, []) == 2


def test_saving_reads_each_file_once(root, monkeypatch):
    read: list[str] = []
    monkeypatch.setattr(
        "training.checkpoints.manifest.sha256", lambda path: read.append(path.name) or "0" * 64
    )
    store = open_store(root, keep=1)
    for step in (2, 4):
        store.save(step, [Counter()])
    assert read == ["counter.txt"] * 2


def test_files_names_and_folder_are_on_disk_before_a_checkpoint_exists(root, monkeypatch):
    """After a power failure a checkpoint has all its bytes, or does not exist."""
    calls: list[tuple[str, str]] = []
    real_sync, real_replace, real_fsync = store_module.sync, Path.replace, os.fsync

    def fsync(descriptor):
        calls.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_fsync(descriptor)

    def replace(self, target):
        calls.append(("rename", Path(target).name))
        return real_replace(self, target)

    def sync(path):
        calls.append(("own", path.name))
        real_sync(path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(store_module, "sync", sync)
    open_store(root).save(2, [Counter()])
    renamed = calls.index(("rename", "step-00000002"))
    manifest = calls.index(("rename", "manifest.json"))
    # The process that wrote a file syncs it: rank 0, which syncs all, may be another machine.
    assert ("own", "counter.txt") in calls[:manifest]
    before, after = calls[:renamed], calls[renamed:]
    assert {name for kind, name in before if kind == "sync"} >= {
        "counter.txt",
        "inner",
        "step-00000002.partial",
    }
    assert ("sync", "checkpoints") in after


class Tensors:
    """A state of 4 MB, written as DeepSpeed does."""

    def save(self, folder: Path) -> None:
        torch.save({"weights": torch.zeros(1_000_000)}, folder / "weights.pt")

    def load(self, folder: Path) -> None:
        torch.load(folder / "weights.pt")


@contextlib.contextmanager
def limited_files(size: int) -> Iterator[None]:
    """No file can become larger, as on a disk or under a quota that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_save_without_room_states_where_and_how_much_and_keeps_the_checkpoint_before(root):
    store = open_store(root, keep=1)
    store.save(2, [Tensors()])
    expected = (
        rf"^the checkpoint of step 4 cannot be written to {root}: File too large; it needs 0\.004 GB, "
        r"\S+ GB are free; earlier ones are kept; free space, then rerun the same command"
    )
    with limited_files(2_000_000), pytest.raises(AnimaticError, match=expected):
        store.save(4, [Tensors()])
    assert folders(root) == ["step-00000002"]
    warnings: list[str] = []
    assert newest_step(root, warnings) == 2 and not warnings
    store.save(4, [Tensors()])
    assert folders(root) == ["step-00000004"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_found_behind_any_error_of_a_library(root, monkeypatch, number):
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    class Failing(Counter):
        def save(self, folder: Path) -> None:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        AnimaticError, match=rf"step 2 cannot be written to .*: {os.strerror(number)}; \S+ GB"
    ):
        open_store(root).save(2, [Failing()])


def test_other_errors_of_a_save_stay_as_they_are(root):
    class Failing(Counter):
        def save(self, folder: Path) -> None:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        open_store(root).save(2, [Failing()])


def test_a_damaged_manifest_does_not_keep_the_next_checkpoint_from_being_saved(root):
    store = open_store(root)
    store.save(2, [Counter(1)])
    damaged = store.save(4, [Counter(2)])
    (damaged.path / "manifest.json").write_text("{")
    warnings: list[str] = []
    assert newest_step(root, warnings) == 2 and len(warnings) == 1
    assert store.save(4, [Counter(3)]).step == newest_step(root, []) == 4
