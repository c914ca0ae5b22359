"""The checkpoints of a run in progress: when they are due, and the last one of a run that should stop."""

import time
from collections.abc import Callable
from pathlib import Path

from core.fencing import Token
from training import events
from training.config import RunConfig
from training.control import PREEMPTED, SUPERSEDED, Phase, RunControl, StoppedBySignal, is_warning
from training.parts import Parts
from training.processes.group import ProcessGroup

OnCheckpoint = Callable[[int, Path], None]


class Saving:
    """Saves the checkpoints of a run. Every method is collective."""

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
        self._control, self._token, self._on_checkpoint = control, token, on_checkpoint

    def save_if_due(self, step: int) -> bool:
        """Save after ``step`` where a checkpoint is due; whether it was."""
        due = step % self._train.checkpoint_every == 0 or step == self._train.steps
        if due:
            self._save(step)
        return due

    def stop_if_asked(self, step: int, saved: bool, signum: int) -> None:
        """End the run with a checkpoint of ``step`` where a signal asked for it.

        Args:
            saved: whether the checkpoint of this step exists.
            signum: the signal, as agreed by all processes; 0 for none.

        Raises StoppedBySignal, or SupersededError, without a checkpoint, where a later attempt has begun.
        """
        if not signum:
            return
        if signum == SUPERSEDED:
            self._group.together(self._token.check)
        if not saved:
            self._save(step)
        stopped = events.Stopped(None if signum == PREEMPTED else signum, is_warning(signum))
        self._parts.journal.record(step, stopped)
        self._parts.journal.close()
        raise StoppedBySignal(signum, step)

    def _save(self, step: int) -> None:
        self._control.enter(Phase.SAVING_CHECKPOINT, step)
        began = time.perf_counter()
        saved = self._parts.checkpoints.save(step, self._parts.states)
        seconds = time.perf_counter() - began
        self._parts.journal.record(step, events.CheckpointSaved(str(saved.path), saved.digest, seconds))
        if self._on_checkpoint is not None:
            self._on_checkpoint(step, saved.path)
