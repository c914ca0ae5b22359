"""Checkpoints beside training: what waits for what, and what a failure does."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import training.checkpoints.snapshot as snapshot_module
import training.checkpoints.store as store_module
from core.errors import AnimaticError
from core.fencing import SupersededError, Token, register_launch, take_token
from tests.support.checkpoint_states import Number, open_store
from tests.support.gate import Gate
from tests.support.thread_group import ThreadGroup, run_as_threads
from training.checkpoints import complete_checkpoints, find_damage
from training.checkpoints.state import Pieces
from training.config import resolve
from training.control import SUPERSEDED, RunControl, StoppedBySignal
from training.journal import Journal, JournalEntry, read_journal
from training.parts import Parts
from training.processes.group import ProcessGroup
from training.saving import Saving
from training.upload.run_files import STOP_S
from training.upload.uploader import CheckpointUploader, UploadResult


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate, real = Gate(), store_module.write_shard

    def gated(path: Path, pieces: Pieces) -> Any:
        gate.pass_through()
        return real(path, pieces)

    monkeypatch.setattr(store_module, "write_shard", gated)
    yield gate
    gate.open.set()


class Run:
    """A run of one number, which is its step: what of it saves checkpoints."""

    def __init__(
        self,
        folder: Path,
        *sets: str,
        group: ProcessGroup | None = None,
        token: Token | None = None,
        uploads: object = None,
    ) -> None:
        config = resolve(0, "tiny", ["train.checkpoint_every=2", "train.steps=6", *sets])
        group = group or ProcessGroup(0, 1)
        self.folder, self.state = folder, Number(rank=group.rank, size=group.size)
        self.control, self.token = RunControl(), token
        self.called: list[tuple[int, str]] = []
        self.journal_path = folder / "journal.jsonl"
        parts = SimpleNamespace(
            states=[self.state],
            journal=Journal(self.journal_path if group.is_first else None),
            checkpoints=open_store(folder / "checkpoints", token=token, group=group),
            uploads=uploads,
        )
        self.saving = Saving(
            config,
            cast(Parts, parts),
            group,
            self.control,
            cast(Token, token),
            lambda step, path: self.called.append((step, path.name)),
        )

    def step(self, step: int) -> bool:
        """Do a step, and save where that is due."""
        self.state.value = step
        return self.saving.save_if_due(step)

    def events(self, kind: str) -> list[JournalEntry]:
        return [entry for entry in read_journal(self.journal_path) if entry.event == kind]

    def warnings(self) -> list[str]:
        return [str(entry.content["message"]) for entry in self.events("warning")]

    def saved(self) -> list[str]:
        """Names of complete checkpoints, each with the number in it."""
        return [path.name for path in complete_checkpoints(self.folder / "checkpoints")]

    def value_of(self, name: str) -> float:
        store, number = open_store(self.folder / "checkpoints"), Number()
        found = store.newest(lambda _: None)
        assert found is not None and found.path.name == name
        store.load(found, [number])
        return number.value


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_training_goes_on_while_a_checkpoint_is_written_with_the_state_of_its_step(
    run: Run, gate: Gate
) -> None:
    assert [run.step(step) for step in (1, 2, 3)] == [False, True, False]
    assert gate.reached.wait(60) and run.saved() == [] and run.called == []
    gate.open.set()
    run.saving.finish()
    assert run.saved() == ["step-00000002"] and run.called == [(2, "step-00000002")]
    assert run.value_of("step-00000002") == 2
    (event,) = run.events("checkpoint")
    assert event.step == 2 and 0 < event.content["pause_s"] < event.content["seconds"]
    assert run.saving.figures() == {"save/pause_s": pytest.approx(event.content["pause_s"], abs=0.05)}
    assert run.saving.figures() == {}


def test_a_finished_checkpoint_is_recorded_at_the_next_step(run: Run, gate: Gate) -> None:
    run.step(2)
    gate.open.set()
    assert run.saving._background.wait(60)
    assert run.events("checkpoint") == []
    run.step(3)
    assert [entry.step for entry in run.events("checkpoint")] == [2]


def test_the_next_checkpoint_waits_for_the_one_before(run: Run, gate: Gate) -> None:
    run.step(2)
    later = threading.Thread(target=run.step, args=[4])
    later.start()
    later.join(0.05)
    assert later.is_alive() and run.saved() == []
    gate.open.set()
    later.join(60)
    run.saving.finish()
    assert run.saved() == ["step-00000002", "step-00000004"] and run.value_of("step-00000004") == 4


def test_the_last_checkpoint_is_complete_when_its_step_ends(run: Run, gate: Gate) -> None:
    gate.open.set()
    run.step(4)
    run.step(6)
    assert run.saved()[-1] == "step-00000006" and gate.threads[-1] == threading.main_thread().name
    assert [step for step, _ in run.called] == [4, 6]


def test_checkpoints_are_written_in_the_step_where_asked_for(tmp_path: Path, gate: Gate) -> None:
    gate.open.set()
    run = Run(tmp_path, "train.background_saves=false")
    run.step(2)
    assert run.saved() == ["step-00000002"] and gate.threads == [threading.main_thread().name]
    (event,) = run.events("checkpoint")
    assert event.content["pause_s"] == event.content["seconds"]


def test_a_checkpoint_that_fails_is_a_warning_and_the_next_one_is_saved(run: Run, gate: Gate) -> None:
    gate.open.set()
    gate.error = OSError(errno.EIO, "Input/output error")
    run.step(2)
    run.step(3)
    run.saving.finish()
    gate.error = None
    run.step(4)
    run.saving.finish()
    assert run.warnings() == [
        "the checkpoint of step 2 was not written: OSError: [Errno 5] Input/output error"
    ]
    assert run.saved() == ["step-00000004"] and run.called == [(4, "step-00000004")]
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-00000004"]


def test_a_full_disk_is_a_warning_until_the_last_checkpoint(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.open.set()
    run.step(2)
    run.saving.finish()
    gate.error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("core.disk_errors._refusal", lambda *_: gate.error)
    run.step(4)
    run.saving.finish()
    (warning,) = run.warnings()
    assert "the checkpoint of step 4 cannot be written to" in warning and "No space left" in warning
    assert warning.endswith("free space: training goes on, and saves again when the next one is due")
    with pytest.raises(AnimaticError, match=r"step 6 .* free space, then rerun the same command"):
        run.step(6)
    assert run.saved() == ["step-00000002"] and run.value_of("step-00000002") == 2


def test_a_stop_waits_for_a_checkpoint_in_progress(run: Run, gate: Gate) -> None:
    due = run.step(2)
    gate.open.set()
    with pytest.raises(StoppedBySignal, match="the checkpoint of step 2 is written"):
        run.saving.stop_if_asked(2, due, 15)
    assert run.saved() == ["step-00000002"]
    assert [entry.event for entry in read_journal(run.journal_path)] == ["checkpoint", "stop"]


def test_a_stop_between_checkpoints_saves_its_own_step(run: Run, gate: Gate) -> None:
    gate.open.set()
    run.step(2)
    with pytest.raises(StoppedBySignal):
        run.saving.stop_if_asked(3, run.step(3), 15)
    assert run.saved() == ["step-00000002", "step-00000003"] and run.value_of("step-00000003") == 3


def test_a_stop_repeats_a_checkpoint_that_has_failed(run: Run, gate: Gate) -> None:
    gate.error = OSError(errno.EIO, "Input/output error")
    due = run.step(2)
    assert gate.reached.wait(60)
    gate.open.set()
    assert run.saving._background.wait(60)
    gate.error = None
    with pytest.raises(StoppedBySignal):
        run.saving.stop_if_asked(2, due, 15)
    assert run.saved() == ["step-00000002"] and run.value_of("step-00000002") == 2


def test_a_stop_without_a_checkpoint_is_an_error(run: Run, gate: Gate) -> None:
    gate.open.set()
    gate.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output error"):
        run.saving.stop_if_asked(3, run.step(3), 15)


def test_an_error_of_the_run_waits_for_a_checkpoint_in_progress(run: Run, gate: Gate) -> None:
    run.step(2)
    gate.open.set()
    run.saving.abandon()
    assert run.saved() == ["step-00000002"] and len(run.events("checkpoint")) == 1


def test_without_memory_for_a_copy_training_waits_and_the_journal_says_so_once(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.open.set()
    monkeypatch.setattr(snapshot_module, "available_bytes", lambda: 0)
    run.step(2)
    run.step(4)
    assert run.saved() == ["step-00000002", "step-00000004"]
    assert set(gate.threads) == {threading.main_thread().name}
    (warning,) = run.warnings()
    assert warning.startswith("training waits while checkpoints are written: all processes of a machine need")


def test_an_attempt_that_was_overtaken_while_it_wrote_stops(tmp_path: Path, gate: Gate) -> None:
    writers = tmp_path / "writers"
    token = take_token(writers, register_launch(writers, "early"), "early")
    run = Run(tmp_path, token=token)
    run.step(2)
    assert gate.reached.wait(60)
    take_token(writers, register_launch(writers, "late"), "late")
    gate.open.set()
    run.saving.finish()
    assert run.control.stop_signal == SUPERSEDED and run.saved() == [] and run.warnings() == []
    with pytest.raises(SupersededError):
        run.saving.stop_if_asked(3, False, SUPERSEDED)


def test_all_processes_take_a_result_at_the_same_step(tmp_path: Path) -> None:
    """One process sees the end of a write before the other one's thread has ended."""

    def train(group: ThreadGroup) -> tuple[list[tuple[int, str]], list[int]]:
        run, taken = Run(tmp_path, "train.steps=40", "train.checkpoint_every=4", group=group), []
        for step in range(1, 41):
            before = len(run.called)
            run.step(step)
            if len(run.called) > before:
                taken.append(step)
        return run.called, taken

    (first, taken), (second, others) = run_as_threads(2, train)
    assert first == second and taken == others and [step for step, _ in first] == list(range(4, 41, 4))
    (newest,) = complete_checkpoints(tmp_path / "checkpoints")[-1:]
    assert find_damage(newest) is None
    values = [Number(rank=rank, size=2) for rank in range(2)]
    for value in values:
        store = open_store(tmp_path / "checkpoints")
        found = store.newest(lambda _: None)
        assert found is not None
        store.load(found, [value])
    assert [value.value for value in values] == [40, 40]


class Uploads:
    """What an uploader reports."""

    def __init__(self, *results: UploadResult) -> None:
        self._results, self.submitted = list(results), list[int]()
        self.is_finished = False
        self.patience_s: float | None = None

    def submit(self, step: int, path: Path, digest: str) -> None:
        assert find_damage(path) is None
        self.submitted.append(step)

    def held(self) -> set[Path]:
        return set()

    def results(self) -> list[UploadResult]:
        results, self._results = self._results, []
        return results

    def finish(self, on_wait: Callable[[], None], patience_s: float | None) -> None:
        on_wait()
        self.is_finished, self.patience_s = True, patience_s


def test_complete_checkpoints_are_uploaded_and_the_journal_states_what_became_of_it(
    tmp_path: Path, gate: Gate
) -> None:
    gate.open.set()
    uploads = Uploads(
        UploadResult(2, "d" * 64, 1.5, "s3://bucket/run/checkpoints/step-2", None),
        UploadResult(4, "e" * 64, 1.5, None, "connection reset"),
    )
    run = Run(tmp_path, "upload.url=s3://bucket/run", uploads=cast(CheckpointUploader, uploads))
    run.step(2)
    run.step(3)
    (event,) = run.events("upload")
    assert event.step == 2 and event.content["uri"].endswith("/step-2") and event.content["seconds"] == 1.5
    assert run.warnings() == ["the checkpoint of step 4 was not uploaded: connection reset"]
    with pytest.raises(StoppedBySignal):
        run.saving.stop_if_asked(3, False, 15)
    assert uploads.submitted == [2, 3] and uploads.is_finished
    assert uploads.patience_s == STOP_S
    run.saving.finish_uploads(3)
    assert uploads.patience_s is None
