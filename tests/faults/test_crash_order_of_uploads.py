"""A machine that stops at any moment of an upload: a complete checkpoint is there, nothing is left behind."""

import hashlib
from pathlib import Path

import pytest

from tests.support.checkpoint_states import SHARD, Number, open_store
from tests.support.recorded_files import CrashError
from tests.support.recorded_store import RecordedStore, empty_store, recorded_store
from training.checkpoints import Checkpoint, Retention, state_of
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder

KEEP = Retention(1)


def checkpoints(root: Path, *steps: int) -> list[Checkpoint]:
    store = open_store(root, keep=9)
    return [store.save(step, state_of([Number(step)])) for step in steps]


def upload(saved: Checkpoint) -> None:
    """Upload a checkpoint and delete the one before, as the uploader does."""
    remote = RemoteCheckpoints(RemoteFolder("recorded://run", patience_s=0.001))
    name = remote.upload(saved.path, lambda: None)
    remote.delete_old(name, KEEP)


def usable(folder: Path) -> list[int]:
    """Steps of remote checkpoints, each downloaded and verified; none is listed that is damaged."""
    remote, steps = RemoteCheckpoints(RemoteFolder("recorded://run", patience_s=0.001)), []
    for found in remote.listed():
        copy = folder / hashlib.sha256(found.name.encode()).hexdigest()[:8]
        copy.mkdir(parents=True)
        assert (found.damage, remote.download(found, copy)) == (None, None)
        steps.append(found.step)
    return steps


def test_shards_are_stored_before_their_manifest_and_deleted_after_it(tmp_path: Path) -> None:
    empty_store()
    first, second = checkpoints(tmp_path, 2, 4)
    with recorded_store():
        upload(first)
    with recorded_store() as calls:
        upload(second)
    new, old = (f"run/checkpoints/step-{each.step:08d}-{each.digest[:16]}" for each in (second, first))
    assert calls[:3] == [f"put {new}/{SHARD}", f"put {new}/manifest.json", f"remove {old}/manifest.json"]


@pytest.mark.parametrize("crash_at", range(5))
def test_after_a_crash_a_complete_checkpoint_is_there_and_the_next_upload_leaves_nothing_else(
    tmp_path: Path, crash_at: int
) -> None:
    empty_store()
    first, second, third = checkpoints(tmp_path / "local", 2, 4, 6)
    with recorded_store():
        upload(first)
    with recorded_store(crash_at) as calls:
        try:
            upload(second)
        except CrashError:
            assert len(calls) == crash_at
    with recorded_store():
        steps = usable(tmp_path / "after")
        assert steps and steps[-1] == (4 if crash_at >= 2 else 2)
        upload(third)
        assert usable(tmp_path / "next") == [6]
        assert len(RecordedStore.store) == 2
