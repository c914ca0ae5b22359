"""Checkpoints are complete or do not exist; damaged and foreign ones are not loaded."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

import training.checkpoints.store as store_module
from core.errors import AnimaticError
from core.files import sha256
from tests.support.checkpoint_states import IDENTITY, LAYOUT, SHARD, Megabytes, Number, open_store
from tests.support.limits import limited_files
from training.checkpoints import Checkpoint, find_damage, read_manifest
from training.checkpoints.snapshot import state_of


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "checkpoints"


def folders(root):
    return sorted(path.name for path in root.iterdir())


def newest_step(root, warnings):
    found = open_store(root).newest(warnings.append)
    return found and found.step


def test_the_newest_checkpoint_is_loaded(root):
    store = open_store(root)
    for step in (2, 4):
        saved = store.save(step, state_of([Number(step * 10)]))
    warnings: list[str] = []
    found, number = store.newest(warnings.append), Number()
    assert found == saved and not warnings
    store.load(found, [number])
    assert number.value == 40


def test_a_checkpoint_of_another_format_is_refused_and_stays(root):
    manifest = open_store(root).save(2, state_of([Number()])).path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 3}))
    with pytest.raises(AnimaticError, match="has format 3, this version of animatic reads formats 1 and 2"):
        newest_step(root, [])
    assert folders(root) == ["step-00000002"]


def test_what_a_later_version_records_besides_is_ignored(root):
    manifest = open_store(root).save(2, state_of([Number()])).path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "compressed": False}))
    assert newest_step(root, warnings := []) == 2
    assert not warnings


def test_without_a_checkpoint_nothing_is_loaded(root):
    assert open_store(root).newest(print) is None


def test_older_checkpoints_than_those_to_keep_are_deleted(root):
    store = open_store(root, keep=2)
    for step in (1, 2, 3, 10):
        store.save(step, state_of([Number()]))
    assert folders(root) == ["step-00000003", "step-00000010"]


def test_what_an_interrupted_save_of_the_same_step_left_is_not_part_of_the_next(root):
    left = root / "step-00000002.partial"
    left.mkdir(parents=True)
    (left / "other.safetensors").write_text("half")
    saved = open_store(root).save(2, state_of([Number()]))
    assert set(read_manifest(saved.path).files) == {SHARD}
    assert not (saved.path / "other.safetensors").exists() and folders(root) == ["step-00000002"]


def test_a_step_is_saved_again_in_place_of_its_damaged_checkpoint(root):
    store = open_store(root)
    (store.save(2, state_of([Number(1)])).path / SHARD).write_text("9")
    saved, number = store.save(2, state_of([Number(7)])), Number()
    assert find_damage(saved.path) is None
    store.load(saved, [number])
    assert number.value == 7


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), f"{SHARD} is missing"),
        (lambda file: file.write_text("123"), rf"{SHARD} has 3 bytes instead of \d+"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-1] + b"!"),
            f"{SHARD} does not match its",
        ),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(root, damage, message):
    store, warnings = open_store(root), []
    store.save(2, state_of([Number(20)]))
    damage(store.save(4, state_of([Number(40)])).path / SHARD)
    assert newest_step(root, warnings) == 2
    assert len(warnings) == 1 and "step-00000004 is damaged" in warnings[0]
    assert re.search(message, warnings[0])


def test_a_checkpoint_on_a_bad_sector_is_skipped_but_one_without_permission_ends_the_run(root, monkeypatch):
    store, warnings = open_store(root), []
    store.save(2, state_of([Number(20)]))
    store.save(4, state_of([Number(40)]))

    def failing(code):
        def read(path):
            if path.parent.name == "step-00000004":
                raise OSError(code, os.strerror(code), str(path))
            return sha256(path)

        monkeypatch.setattr("training.checkpoints.manifest.sha256", read)

    failing(errno.EIO)
    assert newest_step(root, warnings) == 2
    assert len(warnings) == 1 and f"{SHARD} cannot be read: Input/output error" in warnings[0]
    failing(errno.EACCES)
    with pytest.raises(PermissionError):
        newest_step(root, warnings)


def test_a_step_that_is_trained_again_counts_although_its_deleted_checkpoint_was_damaged(root):
    first = open_store(root)
    for step in (2, 4):
        shard = first.save(step, state_of([Number(step)])).path / SHARD
        shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    store, warnings = open_store(root, keep=2), []
    assert store.newest(warnings.append) is None and len(warnings) == 2
    for step in (1, 2, 3, 4, 5):
        store.save(step, state_of([Number(step)]))
        assert folders(root) == [f"step-{kept:08d}" for kept in range(max(1, step - 1), step + 1)]


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_checkpoint_without_a_readable_manifest_is_skipped(root, content):
    store, warnings = open_store(root), []
    store.save(2, state_of([Number()]))
    manifest = store.save(4, state_of([Number()])).path / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    assert newest_step(root, warnings) == 2 and "manifest.json is" in warnings[0]


def test_interrupted_save_is_no_checkpoint(root):
    store, warnings = open_store(root), []
    store.save(2, state_of([Number()]))
    saved = store.save(4, state_of([Number()]))
    (saved.path / "manifest.json").unlink()
    saved.path.rename(root / "step-00000004.partial")
    assert newest_step(root, warnings) == 2
    assert folders(root) == ["step-00000002"] and not warnings


def test_a_checkpoint_of_videos_that_were_taken_down_since_names_the_takedown(root):
    saved = open_store(root).save(2, state_of([Number()]))
    store = open_store(root, dataset="e" * 64, taken_down={IDENTITY.dataset: "2026-11-26"})
    with pytest.raises(AnimaticError, match=r"taken down on 2026-11-26.*another folder \(--out\)"):
        store.load(saved, [Number()])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trajectory": "x"}, r"belongs to another run \(different trajectory\)"),
        ({"base": "x", "parent": None}, r"belongs to another run \(different base, parent\)"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(root, changed, message):
    saved, number = open_store(root).save(2, state_of([Number(20)])), Number()
    with pytest.raises(AnimaticError, match=message):
        open_store(root, **changed).load(saved, [number])
    assert number.value == 0


@pytest.fixture
def first_format(tmp_path) -> Path:
    """A checkpoint as earlier versions wrote it, of two processes."""
    folder = tmp_path / "step-00000003"
    folder.mkdir()
    files = {"ema-00000.pt": {"bytes": 7, "sha256": "0" * 64}}
    recorded = {**IDENTITY.model_dump(), "trajectory": LAYOUT.trajectory_1, "world_size": 2}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "step": 3, **recorded, "files": files}))
    return folder


def test_manifests_written_by_earlier_versions_are_read(first_format):
    manifest = read_manifest(first_format)
    assert manifest.step == 3 and manifest.files["ema-00000.pt"].bytes == 7
    assert manifest.differences(IDENTITY, LAYOUT) == []
    assert manifest.differences(IDENTITY, LAYOUT._replace(trajectory_1="x")) == ["trajectory"]


def test_a_checkpoint_of_the_first_format_names_the_processes_that_can_continue_it(root, first_format):
    saved = Checkpoint(3, first_format, "0" * 64)
    with pytest.raises(AnimaticError, match=r"by 2 workers in format 1, this run has 1: .*launch\.workers=2"):
        open_store(root).load(saved, [Number()])
    layout = LAYOUT._replace(world_size=2, trajectory_1="x")
    with pytest.raises(AnimaticError, match=r"\(different trajectory\) or, .*another train\.zero_stage"):
        open_store(root, layout=layout).load(saved, [Number()])


def test_older_checkpoints_stay_while_the_newest_is_not_whole(root, monkeypatch):
    store = open_store(root, keep=1)
    store.save(2, state_of([Number(20)]))

    def loses_a_file(partial, path):
        (partial / SHARD).unlink()
        partial.rename(path)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "move_into_place", loses_a_file)
        store.save(4, state_of([Number(40)]))
    assert newest_step(root, []) == 2


def test_saving_reads_no_file_again(root, monkeypatch):
    """Shards are digested as they are written."""
    monkeypatch.setattr("training.checkpoints.manifest.sha256", pytest.fail)
    store = open_store(root, keep=2)
    for step in (2, 4, 6):
        store.save(step, state_of([Number()]))
    assert folders(root) == ["step-00000004", "step-00000006"]


def test_the_last_other_checkpoint_goes_only_when_the_digests_of_the_new_one_are_right(root, monkeypatch):
    store, real = open_store(root, keep=1), store_module.write_shard
    store.save(2, state_of([Number(20)]))

    def damaging(path, pieces):
        record = real(path, pieces)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        return record

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_shard", damaging)
        store.save(4, state_of([Number(40)]))
    warnings: list[str] = []
    assert newest_step(root, warnings) == 2 and "step-00000004 is damaged" in warnings[0]


def test_a_checkpoint_that_is_known_to_be_damaged_does_not_count_among_the_newest(root):
    store = open_store(root, keep=2)
    for step in (2, 4):
        saved = store.save(step, state_of([Number()]))
    shard = saved.path / SHARD
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    again = open_store(root, keep=2)
    assert again.newest(lambda _: None).step == 2
    again.save(6, state_of([Number()]))
    assert folders(root) == ["step-00000002", "step-00000006"]


def test_every_nth_checkpoint_stays(root):
    store = open_store(root, keep=1, every=4)
    for step in (2, 4, 6, 8, 10):
        store.save(step, state_of([Number()]))
    assert folders(root) == ["step-00000004", "step-00000008", "step-00000010"]


def test_a_checkpoint_that_is_still_read_is_deleted_by_a_later_save(root):
    store = open_store(root, keep=1)
    first = store.save(2, state_of([Number()]))
    store.save(4, state_of([Number()]), held={first.path})
    assert folders(root) == ["step-00000002", "step-00000004"]
    store.save(6, state_of([Number()]))
    assert folders(root) == ["step-00000006"]


def test_files_names_and_folder_are_on_disk_before_a_checkpoint_exists(root, monkeypatch):
    """After a power failure a checkpoint has all its bytes, or does not exist."""
    calls: list[tuple[str, str]] = []
    real_replace, real_fsync = Path.replace, os.fsync

    def fsync(descriptor):
        calls.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_fsync(descriptor)

    def replace(self, target):
        calls.append(("rename", Path(target).name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    open_store(root).save(2, state_of([Number()]))
    renamed = calls.index(("rename", "step-00000002"))
    manifest = calls.index(("rename", "manifest.json"))
    # The process that wrote a file syncs it: rank 0, which syncs all, may be another machine.
    assert ("sync", SHARD) in calls[:manifest]
    before, after = calls[:renamed], calls[renamed:]
    assert {name for kind, name in before if kind == "sync"} >= {
        SHARD,
        "step-00000002.partial",
    }
    assert ("sync", "checkpoints") in after


def test_a_save_without_room_states_where_and_how_much_and_keeps_the_checkpoint_before(root):
    store = open_store(root, keep=1)
    store.save(2, state_of([Megabytes()]))
    expected = (
        rf"^the checkpoint of step 4 cannot be written to {root}: File too large; it needs 0\.004 GB, "
        r"\S+ GB are free; earlier ones are kept; free space, then rerun the same command"
    )
    with limited_files(2_000_000), pytest.raises(AnimaticError, match=expected):
        store.save(4, state_of([Megabytes()]))
    assert folders(root) == ["step-00000002"]
    warnings: list[str] = []
    assert newest_step(root, warnings) == 2 and not warnings
    store.save(4, state_of([Megabytes()]))
    assert folders(root) == ["step-00000004"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_found_behind_any_error_of_a_library(root, monkeypatch, number):
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(store_module, "write_shard", fail)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        AnimaticError, match=rf"step 2 cannot be written to .*: {os.strerror(number)}; it needs \S+ GB"
    ):
        open_store(root).save(2, state_of([Number()]))


def test_other_errors_of_a_save_stay_as_they_are(root, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(store_module, "write_shard", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        open_store(root).save(2, state_of([Number()]))


def test_a_damaged_manifest_does_not_keep_the_next_checkpoint_from_being_saved(root):
    store = open_store(root)
    store.save(2, state_of([Number(1)]))
    damaged = store.save(4, state_of([Number(2)]))
    (damaged.path / "manifest.json").write_text("{")
    warnings: list[str] = []
    assert newest_step(root, warnings) == 2 and len(warnings) == 1
    assert store.save(4, state_of([Number(3)])).step == newest_step(root, []) == 4
