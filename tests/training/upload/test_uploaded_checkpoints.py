"""Checkpoints in a remote folder are complete or do not exist, and the last usable one is never deleted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import StoreError
from tests.support.checkpoint_states import Number, open_store
from training.checkpoints import Checkpoint, find_damage
from training.checkpoints.retention import Retention
from training.checkpoints.snapshot import state_of
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder


def nothing() -> None:
    """Every upload may commit."""


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Checkpoint]:
    """Save a local checkpoint of a step."""
    store = open_store(tmp_path / "checkpoints", keep=100)
    return lambda step, value=0.0: store.save(step, state_of([Number(value)]))


def steps(remote: RemoteCheckpoints) -> list[int]:
    return [found.step for found in remote.listed() if found.damage is None]


def test_a_checkpoint_is_uploaded_listed_and_downloaded(
    remote: RemoteCheckpoints, save: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    saved = save(4, 40.0)
    name = remote.upload(saved.path, nothing)
    assert name == f"checkpoints/step-00000004-{saved.digest[:16]}"
    (found,) = remote.listed()
    assert (found.name, found.step, found.digest, found.damage) == (name, 4, saved.digest, None)
    copy = tmp_path / "copy"
    copy.mkdir()
    assert remote.download(found, copy) is None
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == {
        file.name: file.read_bytes() for file in saved.path.iterdir()
    }


def test_the_manifest_is_uploaded_last(
    remote: RemoteCheckpoints, save: Callable[..., Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    real = RemoteFolder.put

    def recording(self: RemoteFolder, name: str, path: Path) -> None:
        put.append(path.name)
        real(self, name, path)

    monkeypatch.setattr(RemoteFolder, "put", recording)
    remote.upload(save(1).path, lambda: put.append("commit"))
    assert put == ["rank-00000.safetensors", "commit", "manifest.json"]


def test_an_upload_that_was_interrupted_goes_on_where_it_ended(
    remote: RemoteCheckpoints,
    folder: RemoteFolder,
    save: Callable[..., Checkpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = save(1)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.upload(saved.path, stop)
    assert remote.listed() == [] and len(folder.list()) == 1
    real, put = RemoteFolder.put, []
    monkeypatch.setattr(RemoteFolder, "put", lambda *call: put.append(call[2].name) or real(*call))
    for _ in range(2):
        remote.upload(saved.path, nothing)
    assert put == ["manifest.json"] and steps(remote) == [1]


def test_of_two_machines_with_other_checkpoints_of_a_step_neither_replaces_the_other(
    remote: RemoteCheckpoints, tmp_path: Path
) -> None:
    for machine in ("a", "b"):
        saved = open_store(tmp_path / machine).save(3, state_of([Number(word=machine)]))
        remote.upload(saved.path, nothing)
    assert sorted(str(found.manifest.counters["number/word"]) for found in remote.listed()) == ["a", "b"]
    assert all(found.damage is None for found in remote.listed())


def test_old_checkpoints_and_leftovers_are_deleted(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint]
) -> None:
    for step in (10, 20, 30, 40, 50):
        name = remote.upload(save(step).path, nothing)
    folder.write("checkpoints/step-00000060-0123456789abcdef/rank-00000.safetensors", b"half")
    folder.write("journal/0.jsonl", b"{}")
    remote.delete_old(name, Retention(2, every=20))
    assert steps(remote) == [20, 40, 50]
    assert {Path(file).parts[0] for file in folder.list()} == {"checkpoints", "journal"}
    assert len({Path(file).parts[1] for file in folder.list("") if file.startswith("checkpoints")}) == 3


def test_nothing_is_deleted_while_the_newest_is_not_complete(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint]
) -> None:
    remote.upload(save(10).path, nothing)
    name = remote.upload(save(20).path, nothing)
    folder.delete(f"{name}/rank-00000.safetensors")
    remote.delete_old(name, Retention(1))
    assert steps(remote) == [10]


def test_damaged_checkpoints_do_not_count_among_the_newest(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint]
) -> None:
    for step in (10, 20):
        name = remote.upload(save(step).path, nothing)
    folder.write(f"{name}/rank-00000.safetensors", b"short")
    (damaged,) = [found for found in remote.listed() if found.damage is not None]
    assert damaged.step == 20 and "rank-00000.safetensors has 5 bytes instead of" in str(damaged.damage)
    remote.delete_old(remote.upload(save(30).path, nothing), Retention(2))
    assert [found.step for found in remote.listed()] == [10, 30]


def test_a_deletion_that_is_interrupted_leaves_no_checkpoint(
    remote: RemoteCheckpoints, save: Callable[..., Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = remote.upload(save(10).path, nothing)

    def fail(*_: object) -> None:
        raise StoreError("cut off")

    monkeypatch.setattr(RemoteFolder, "delete_tree", fail)
    with pytest.raises(StoreError):
        remote.delete(name)
    assert remote.listed() == []


def test_a_download_of_damaged_content_is_noticed(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    saved = save(10)
    name = remote.upload(saved.path, nothing)
    shard = (saved.path / "rank-00000.safetensors").read_bytes()
    folder.write(f"{name}/rank-00000.safetensors", shard[:-1] + b"x")
    copy = tmp_path / "copy"
    copy.mkdir()
    damage = remote.download(remote.listed()[0], copy)
    assert damage == "rank-00000.safetensors does not match its recorded sha256" == find_damage(copy)


def test_a_checkpoint_without_a_readable_manifest_does_not_exist(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint]
) -> None:
    remote.upload(save(10).path, nothing)
    folder.write("checkpoints/step-00000020-0123456789abcdef/manifest.json", b"{")
    assert steps(remote) == [10]
    remote.delete_old(remote.upload(save(30).path, nothing), Retention(2))
    assert len({Path(file).parts[1] for file in folder.list()}) == 2


def test_a_checkpoint_of_a_later_version_is_refused(
    remote: RemoteCheckpoints, folder: RemoteFolder, save: Callable[..., Checkpoint]
) -> None:
    name = remote.upload(save(10).path, nothing)
    content = json.loads(folder.read(f"{name}/manifest.json"))
    folder.write(f"{name}/manifest.json", json.dumps({**content, "format": 9}).encode())
    with pytest.raises(AnimaticError, match=r"memory://bucket/run/checkpoints/step-\S+ has format 9"):
        RemoteCheckpoints(folder).listed()
