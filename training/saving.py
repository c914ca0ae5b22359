"""The checkpoints of a run in progress: when they are due, and the last one of a run that should stop.

A checkpoint is written from a copy of the state, by a thread of every process, while training goes on. These
threads agree with each other through a channel of their own. The main thread takes the result at the first
step at which all of them are done: the journal has one writer, and all processes go the same way.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError, last_line
from core.fencing import SupersededError, Token
from training import events
from training.checkpoints import Background, Checkpoint, HostCopies, Snapshot, state_of
from training.config import RunConfig
from training.control import PREEMPTED, SUPERSEDED, Phase, RunControl, StoppedBySignal, is_warning
from training.parts import Parts
from training.processes.group import ProcessGroup
from training.upload.run_files import STOP_S

logger = logging.getLogger(__name__)

OnCheckpoint = Callable[[int, Path], None]

# Longest wait for a checkpoint in progress where an error ends the run: other processes may be gone.
_LAST_WAIT_S = 60.0
_GOES_ON = "earlier ones are kept; free space: training goes on, and saves again when the next one is due"


@dataclass(frozen=True)
class _InProgress:
    """A checkpoint that is being written.

    Attributes:
        began: in seconds of ``time.perf_counter``.
        pause_s: for which training waited.
    """

    step: int
    began: float
    pause_s: float


class Saving:
    """Saves the checkpoints of a run. Every method is collective, unless its docstring states otherwise."""

    def __init__(
        self,
        config: RunConfig,
        parts: Parts,
        group: ProcessGroup,
        control: RunControl,
        token: Token,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> None:
        """``on_checkpoint``: called in every process with (step, folder) when a checkpoint is complete."""
        self._train, self._parts, self._group = config.train, parts, group
        self._has_uploads = config.upload.url is not None
        self._control, self._token, self._on_checkpoint = control, token, on_checkpoint
        self._writers, self._copies = group.apart(), HostCopies()
        self._background = Background[tuple[Checkpoint, float]]("checkpoint writer")
        self._current: _InProgress | None = None
        self._failed_step: int | None = None
        self._paused_s = 0.0
        self._is_warned_of_memory = False

    def save_if_due(self, step: int) -> bool:
        """Save after ``step`` where a checkpoint is due; whether it was.

        Failures are warnings in the journal. Raises AnimaticError where that of the last step fails.
        """
        self._look()
        is_last = step == self._train.steps
        due = is_last or step % self._train.checkpoint_every == 0
        if due:
            self._save(step, must=is_last)
        return due

    def stop_if_asked(self, step: int, saved: bool, signum: int) -> None:
        """End the run with a checkpoint of ``step`` where a signal asked for it.

        Args:
            saved: whether the checkpoint of this step exists, or is being written.
            signum: the signal, as agreed by all processes; 0 for none.

        Raises StoppedBySignal, or SupersededError, without a checkpoint, where a later attempt has begun.
        """
        if not signum:
            return
        if signum == SUPERSEDED:
            self._group.together(self._token.check)
        self.finish()
        if not saved or self._failed_step == step:
            self._save(step, must=True)
        self.finish_uploads(step, STOP_S)
        stopped = events.Stopped(None if signum == PREEMPTED else signum, is_warning(signum))
        self._parts.journal.record(step, stopped)
        self._parts.journal.close()
        raise StoppedBySignal(signum, step)

    def finish(self) -> None:
        """Wait for a checkpoint in progress."""
        if self._current is not None:
            self._control.enter(Phase.SAVING_CHECKPOINT, self._current.step)
            self._take()

    def finish_uploads(self, step: int, patience_s: float | None = None) -> None:
        """Wait for uploads: in an outage as long as they are tried again, or ``patience_s`` from now."""
        if self._has_uploads:
            self._control.enter(Phase.UPLOADING, step)
            self._group.together(lambda: self._wait_for_uploads(patience_s))
        self._report_uploads()

    def discard_from(self, step: int) -> None:
        """The run goes back to before ``step``: checkpoints from there on are void in the remote folder
        too. Not collective."""
        if self._parts.uploads is not None:
            self._parts.uploads.discard(step)

    def abandon(self) -> None:
        """Wait for a checkpoint in progress, for a while, where an error ends the run. Not collective."""
        if self._current is not None and self._background.wait(_LAST_WAIT_S):
            self._take()

    def figures(self) -> dict[str, float]:
        """Metrics of the checkpoints since the last call. Not collective."""
        if not self._paused_s:
            return {}
        paused, self._paused_s = self._paused_s, 0.0
        return {"save/pause_s": paused}

    def _look(self) -> None:
        """Take the result of a checkpoint in progress, once it is done in all processes."""
        if self._current is not None:
            unfinished = self._group.largest_later(0 if self._background.finished else 1)
            if not unfinished():
                self._take()
        self._report_uploads()

    def _save(self, step: int, *, must: bool) -> None:
        """Save a checkpoint; ``must``: now, and with an error where it fails."""
        began = time.perf_counter()
        self.finish()
        self._control.enter(Phase.SAVING_CHECKPOINT, step)
        state = state_of(self._parts.states)
        if not must and self._train.background_saves and self._has_memory(step, state):
            snapshot = self._copies.take(state)
            self._background.start(lambda: self._write_copy(step, snapshot))
            self._current = _InProgress(step, began, time.perf_counter() - began)
        else:
            self._save_now(step, state, began, must=must)
        self._paused_s += time.perf_counter() - began

    def _save_now(self, step: int, state: Snapshot, began: float, *, must: bool) -> None:
        try:
            saved = self._write(step, state, self._group, must=must)
        except Exception as error:  # of whatever kind: raised, or in the journal
            if must:
                raise
            self._failed(step, error)
        else:
            self._saved(saved, began)

    def _write_copy(self, step: int, snapshot: Snapshot) -> tuple[Checkpoint, float]:
        """In a thread of each process: write a checkpoint; it, and for how long a GPU copied the state."""
        copied_s = self._writers.together(snapshot.wait)
        return self._write(step, snapshot, self._writers, must=False), copied_s

    def _write(self, step: int, state: Snapshot, group: ProcessGroup, *, must: bool) -> Checkpoint:
        uploads, store = self._parts.uploads, self._parts.checkpoints
        held = uploads.held() if uploads is not None else set()
        saved = store.save(step, state, group, held, None if must else _GOES_ON)
        if uploads is not None:
            uploads.submit(saved.step, saved.path, saved.digest)
        return saved

    def _take(self) -> None:
        """Record the result of the checkpoint in progress, which is waited for. Not collective."""
        current, self._current = self._current, None
        if current is None:
            return
        try:
            saved, copied_s = self._background.take()
        except Exception as error:  # noqa: BLE001  of whatever kind: it is in the journal
            self._failed(current.step, error)
        else:
            self._paused_s += copied_s
            self._saved(saved, current.began, current.pause_s + copied_s)

    def _saved(self, saved: Checkpoint, began: float, pause_s: float | None = None) -> None:
        """Record a complete checkpoint; ``pause_s``: None where training waited all the time."""
        seconds = time.perf_counter() - began
        pause_s = seconds if pause_s is None else pause_s
        event = events.CheckpointSaved(str(saved.path), saved.digest, seconds, pause_s)
        self._parts.journal.record(saved.step, event)
        logger.info("checkpoint of step %d is written: training paused for %.3f s", saved.step, pause_s)
        if self._on_checkpoint is not None:
            self._on_checkpoint(saved.step, saved.path)

    def _failed(self, step: int, error: Exception) -> None:
        """Record that a checkpoint was not written: the run goes on, unless another one has taken over."""
        self._failed_step = step
        if isinstance(error, SupersededError):
            self._control.supersede()
            return
        if isinstance(error, AnimaticError):
            reason = str(error)
        else:
            reason = (
                f"the checkpoint of step {step} was not written: {type(error).__name__}: {last_line(error)}"
            )
        logger.warning("%s", reason, exc_info=error)
        self._parts.journal.record(step, events.Warned(reason))

    def _has_memory(self, step: int, state: Snapshot) -> bool:
        """Whether all processes have memory for a copy of the state."""
        shortage = self._copies.shortage(state)
        if not self._group.largest_later(int(shortage is not None))():
            return True
        reasons = [reason for reason in self._group.gathered(shortage) if reason is not None]
        if not self._is_warned_of_memory:
            self._is_warned_of_memory = True
            warning = f"training waits while checkpoints are written: {reasons[0]}"
            self._parts.journal.record(step, events.Warned(warning))
        return False

    def _wait_for_uploads(self, patience_s: float | None) -> None:
        if self._parts.uploads is not None:
            self._parts.uploads.finish(lambda: self._control.progress("upload"), patience_s)

    def _report_uploads(self) -> None:
        """Record what became of uploads. Not collective."""
        for result in self._parts.uploads.results() if self._parts.uploads is not None else ():
            if result.url is not None:
                event = events.CheckpointUploaded(result.url, result.digest, result.seconds)
                self._parts.journal.record(result.step, event)
            if result.error is not None:
                what = "was not uploaded" if result.url is None else "is uploaded, older ones stay there"
                warning = f"the checkpoint of step {result.step} {what}: {result.error}"
                self._parts.journal.record(result.step, events.Warned(warning))
