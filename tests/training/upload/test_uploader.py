"""Uploads beside training: the newest one counts, an outage passes, and nothing in use is deleted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.checkpoint_states import Number, open_store
from tests.support.gate import Gate
from training.checkpoints import Checkpoint
from training.checkpoints.retention import Retention
from training.checkpoints.snapshot import state_of
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder
from training.upload.uploader import CheckpointUploader
from training.upload.writers import Writers


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, real = Gate(), MemoryFileSystem.put_file

    def gated(self: MemoryFileSystem, lpath: str, rpath: str, **options: object) -> None:
        gate.pass_through()
        real(self, lpath, rpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", gated)
    yield gate
    gate.open.set()


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[CheckpointUploader, int], Checkpoint]:
    """Save a checkpoint of a step and give it to an uploader."""
    store = open_store(tmp_path / "checkpoints", keep=100)

    def submit(uploader: CheckpointUploader, step: int) -> Checkpoint:
        saved = store.save(step, state_of([Number(step)]))
        uploader.submit(saved.step, saved.path, saved.digest)
        return saved

    return submit


def steps(remote: RemoteCheckpoints) -> list[int]:
    return [found.step for found in remote.listed()]


def test_what_was_uploaded_is_reported_once(
    remote: RemoteCheckpoints, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(1))
    saved = submit(uploader, 4)
    uploader.finish()
    (result,) = uploader.results()
    assert (result.step, result.digest, result.error) == (4, saved.digest, None)
    assert result.url == f"memory://bucket/run/checkpoints/step-00000004-{saved.digest[:16]}"
    assert uploader.results() == [] and uploader.held() == set()


def test_a_later_checkpoint_replaces_one_that_waits(
    remote: RemoteCheckpoints, gate: Gate, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(5))
    first = submit(uploader, 1)
    assert gate.reached.wait(60)
    submit(uploader, 2)
    third = submit(uploader, 3)
    assert uploader.held() == {first.path, third.path}
    gate.open.set()
    uploader.finish()
    assert steps(remote) == [1, 3] == [result.step for result in uploader.results()]


def test_an_outage_is_reported_and_the_next_checkpoint_is_uploaded(
    remote: RemoteCheckpoints,
    gate: Gate,
    submit: Callable[[CheckpointUploader, int], Checkpoint],
    pauses: list[float],
) -> None:
    uploader = CheckpointUploader(remote, Retention(5))
    gate.error = ConnectionResetError("connection reset")
    gate.open.set()
    submit(uploader, 1)
    uploader.finish()
    (result,) = uploader.results()
    assert result.url is None and "rank-00000.safetensors: connection reset" in str(result.error)
    gate.error = None
    submit(uploader, 2)
    uploader.finish()
    assert [result.error for result in uploader.results()] == [None] and steps(remote) == [2]


def test_a_stop_in_an_outage_does_not_wait_for_the_patience_of_the_run(
    gate: Gate, submit: Callable[[CheckpointUploader, int], Checkpoint], pauses: list[float]
) -> None:
    MemoryFileSystem.store.clear()
    patient = RemoteCheckpoints(RemoteFolder("memory://bucket/run", patience_s=1e9))
    uploader = CheckpointUploader(patient, Retention(5))
    gate.error = ConnectionResetError("connection reset")
    submit(uploader, 1)
    assert gate.reached.wait(60)
    patient.limit_patience(0)
    gate.open.set()
    uploader.finish(patience_s=30)
    (result,) = uploader.results()
    assert result.url is None and "connection reset" in str(result.error) and pauses == []


def test_no_error_of_a_library_ends_the_uploads(
    remote: RemoteCheckpoints,
    gate: Gate,
    submit: Callable[[CheckpointUploader, int], Checkpoint],
) -> None:
    uploader = CheckpointUploader(remote, Retention(5))
    gate.error = KeyError("of a library")
    gate.open.set()
    submit(uploader, 1)
    uploader.finish()
    assert "KeyError: 'of a library'" in str(uploader.results()[0].error)
    gate.error = None
    submit(uploader, 2)
    uploader.finish()
    assert steps(remote) == [2]


def test_old_checkpoints_are_deleted_after_the_upload_of_a_new_one(
    remote: RemoteCheckpoints, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(1, every=20))
    for step in (10, 20, 30, 40, 50):
        submit(uploader, step)
        uploader.finish()
    assert steps(remote) == [20, 40, 50]


def test_checkpoints_that_the_run_went_back_behind_are_deleted(
    remote: RemoteCheckpoints, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(5))
    for step in (10, 20, 30, 40):
        submit(uploader, step)
        uploader.finish()
    uploader.discard(30)
    uploader.discard(20)
    submit(uploader, 20)
    uploader.finish()
    submit(uploader, 30)
    uploader.finish()
    assert steps(remote) == [10, 20, 30]


def test_a_checkpoint_that_the_run_goes_back_behind_during_its_upload_is_not_completed(
    remote: RemoteCheckpoints, gate: Gate, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(1))
    submit(uploader, 30)
    assert gate.reached.wait(60)
    uploader.discard(25)
    back = submit(uploader, 20)
    gate.open.set()
    uploader.finish()
    void, again = uploader.results()
    assert void.url is None and void.error == "the run has gone back behind step 30 meanwhile"
    assert again.digest == back.digest and steps(remote) == [20]
    submit(uploader, 30)
    uploader.finish()
    assert steps(remote) == [30]


def test_a_checkpoint_that_the_run_goes_back_behind_while_it_waits_is_not_uploaded(
    remote: RemoteCheckpoints, gate: Gate, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    uploader = CheckpointUploader(remote, Retention(5))
    submit(uploader, 10)
    assert gate.reached.wait(60)
    void = submit(uploader, 30)
    uploader.discard(25)
    assert void.path not in uploader.held()
    gate.open.set()
    uploader.finish()
    assert [result.error for result in uploader.results()] == [None]
    assert steps(remote) == [10]


def test_what_a_later_launch_begins_while_old_ones_are_deleted_stays(
    remote: RemoteCheckpoints, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    """The later launch begins its upload after this one has committed, before it deletes."""
    folder, calls = RemoteFolder("memory://bucket/run", patience_s=0.001), []
    begun = f"checkpoints/step-00000040-{'a' * 16}/rank-00000.safetensors"

    def before_commit() -> None:
        calls.append(len(calls))
        if len(calls) == 3:  # to begin, to commit, to delete
            folder.write(begun, b"first bytes")

    uploader = CheckpointUploader(remote, Retention(1), before_commit)
    submit(uploader, 30)
    uploader.finish()
    assert uploader.results()[0].error is None
    assert len(calls) == 3 and folder.read(begun) == b"first bytes"


def test_a_launch_that_another_machine_has_taken_over_uploads_and_deletes_nothing(
    remote: RemoteCheckpoints, submit: Callable[[CheckpointUploader, int], Checkpoint]
) -> None:
    writers = Writers(RemoteFolder("memory://bucket/run", patience_s=0.001))
    assert writers.register(1, "here")
    uploader = CheckpointUploader(remote, Retention(1), before_commit=lambda: writers.check(1))
    submit(uploader, 10)
    uploader.finish()
    assert writers.register(2, "elsewhere")
    submit(uploader, 20)
    uploader.finish()
    first, second = uploader.results()
    assert first.error is None and second.url is None
    assert "memory://bucket/run was taken over by launch 2" in str(second.error)
    assert steps(remote) == [10]
