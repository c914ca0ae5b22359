"""A run on a machine that lacks its newest checkpoint goes on from the remote folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import AnimaticError
from tests.support.checkpoint_states import Number, open_store
from training.checkpoints import Checkpoint
from training.checkpoints.snapshot import state_of
from training.checkpoints.state import Counters
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.download import later_checkpoint
from training.upload.folder import RemoteFolder


class Rounds(Number):
    """A state of a run that went back some times."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self._rounds = rounds

    def counters(self) -> Counters:
        return {**super().counters(), "guard/round": self._rounds}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "here" / "checkpoints"


@pytest.fixture
def upload(remote: RemoteCheckpoints, tmp_path: Path) -> Callable[..., str]:
    """Save a checkpoint on another machine and upload it; its name."""

    def upload(step: int, state: Number | None = None, **identity: str) -> str:
        store = open_store(tmp_path / "there", keep=100, **identity)
        return remote.upload(store.save(step, state_of([state or Number(step)])).path, lambda: None)

    return upload


def find(
    remote: RemoteCheckpoints, root: Path, warnings: list[str] | None = None, before: int | None = None
) -> Checkpoint | None:
    store, warned = open_store(root), [] if warnings is None else warnings
    return later_checkpoint(remote, store, store.newest(warned.append, before), before, warned.append)


def test_the_newest_is_downloaded_verified_and_loaded(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path
) -> None:
    for step in (10, 20):
        upload(step)
    found, number = find(remote, root), Number()
    assert found is not None and found.path == root / "step-00000020"
    open_store(root).load(found, [number])
    assert number.value == 20
    assert open_store(root).newest(pytest.fail) == found
    assert [path.name for path in root.iterdir()] == ["step-00000020"]


def test_each_downloaded_file_is_progress(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path
) -> None:
    upload(10)
    files: list[int] = []
    later_checkpoint(remote, open_store(root), None, None, pytest.fail, lambda: files.append(1))
    assert len(files) == 1


def test_what_is_here_and_not_older_is_not_downloaded(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(20)
    local = open_store(root).save(20, state_of([Number(1)]))
    monkeypatch.setattr(RemoteCheckpoints, "download", lambda *_: pytest.fail("downloaded"))
    assert find(remote, root) == local


def test_a_later_one_is_downloaded_beside_what_is_here(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path
) -> None:
    open_store(root).save(10, state_of([Number(1)]))
    upload(20)
    found = find(remote, root)
    assert found is not None and found.step == 20
    assert sorted(path.name for path in root.iterdir()) == ["step-00000010", "step-00000020"]


def test_a_damaged_one_is_skipped_for_the_one_before(
    remote: RemoteCheckpoints, folder: RemoteFolder, upload: Callable[..., str], root: Path
) -> None:
    upload(10)
    shard = f"{upload(20)}/rank-00000.safetensors"
    folder.write(shard, folder.read(shard)[:-1] + b"x")
    folder.delete(f"{upload(30)}/rank-00000.safetensors")
    warnings: list[str] = []
    found = find(remote, root, warnings)
    assert found is not None and found.step == 10
    assert "step-00000030" in warnings[0] and "has no bytes instead of" in warnings[0]
    assert "step-00000020" in warnings[1] and "does not match its recorded sha256" in warnings[1]
    assert [path.name for path in root.iterdir()] == ["step-00000010"]


def test_without_any_nothing_is_found(remote: RemoteCheckpoints, root: Path) -> None:
    assert find(remote, root) is None


def test_one_of_another_run_is_refused_before_it_is_downloaded(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(20, trajectory="x" * 64)
    monkeypatch.setattr(RemoteCheckpoints, "download", lambda *_: pytest.fail("downloaded"))
    message = (
        r"memory://bucket/run/checkpoints/\S+ belongs to another run \(different trajectory\).*upload\.url"
    )
    with pytest.raises(AnimaticError, match=message):
        find(remote, root)


def test_a_store_that_does_not_answer_keeps_a_run_from_starting_over(
    remote: RemoteCheckpoints, root: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    def silence(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(MemoryFileSystem, "find", silence)
    with pytest.raises(AnimaticError, match=r"whether upload\.url has one is unknown: .*refused; rerun when"):
        find(remote, root)
    local = open_store(root).save(10, state_of([Number()]))
    warnings: list[str] = []
    assert find(remote, root, warnings) == local
    assert len(warnings) == 1 and "upload.url is not searched" in warnings[0]


def test_steps_that_the_run_went_back_behind_are_not_later(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path
) -> None:
    """The other machine had gone on to 40 before the run went back; here it has reached 30 again since."""
    upload(40, Rounds(0))
    local = open_store(root).save(30, state_of([Rounds(1)]))
    assert find(remote, root) == local
    upload(20, Rounds(2))
    found = find(remote, root)
    assert found is not None and found.step == 20


def test_only_earlier_ones_than_asked_for(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path
) -> None:
    for step in (10, 20, 30):
        upload(step)
    found = find(remote, root, before=30)
    assert found is not None and found.step == 20


def test_what_a_download_that_was_killed_left_is_deleted(
    remote: RemoteCheckpoints, upload: Callable[..., str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(20)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "get", killed)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            find(remote, root)
    assert [path.name for path in root.iterdir()] == ["step-00000020.partial"]
    found = find(remote, root)
    assert found is not None and [path.name for path in root.iterdir()] == ["step-00000020"]
