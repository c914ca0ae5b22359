"""Where a run goes on: from the newest of its checkpoints, wherever it is, or from that of another run."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import AnimaticError
from training import events
from training.checkpoints import Checkpoint, CheckpointStore, Stateful
from training.continuation import Continuation
from training.journal import Journal
from training.processes.group import ProcessGroup
from training.upload.download import later_checkpoint
from training.upload.uploader import CheckpointUploader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resuming:
    """Restores the state of a run.

    Attributes:
        states: what is restored.
        continuation: the checkpoint of another run that this one continues, if any.
        uploads: in the first process, to the remote folder that may have a later checkpoint; one that it
            lacks is uploaded.
    """

    checkpoints: CheckpointStore
    states: Sequence[Stateful]
    continuation: Continuation | None
    journal: Journal
    group: ProcessGroup
    uploads: CheckpointUploader | None

    def resume(
        self, steps: int, before: int | None = None, on_file: Callable[[], None] = lambda: None
    ) -> int | None:
        """Restore the newest complete checkpoint, else that of the run that this one continues. Collective.

        Args:
            steps: of the whole run.
            before: only checkpoints of an earlier step; None for any.
            on_file: called after each file of a checkpoint that is downloaded.

        Returns:
            The step after which the checkpoint was written; None without one.

        Raises AnimaticError when the checkpoint does not fit, or is of a later step than ``steps``.
        """
        own = self._newest(before, on_file)
        checkpoint = own or self._of_another_run()
        if checkpoint is None:
            return None
        self.group.together(lambda: _check_step(checkpoint, steps))
        self.checkpoints.load(checkpoint, self.states, of_another_run=own is None)
        if self.uploads is not None and own is not None:
            self.uploads.submit(own.step, own.path, own.digest)
        change = self.checkpoints.change(checkpoint)
        self.journal.record(checkpoint.step, events.Resumed(str(checkpoint.path), checkpoint.digest, change))
        logger.info("resumed from %s%s", checkpoint.path, f", {change}" if change else "")
        return checkpoint.step

    def _newest(self, before: int | None, on_file: Callable[[], None]) -> Checkpoint | None:
        """Of the run's own checkpoints, here and in the remote folder. Collective."""

        def warn(text: str) -> None:
            self.journal.record(0, events.Warned(text))

        local = self.checkpoints.newest(warn, before)

        def newest() -> Checkpoint | None:
            if self.uploads is None:
                return local
            return later_checkpoint(self.uploads.checkpoints, self.checkpoints, local, before, warn, on_file)

        return self.group.from_first(self.group.together(newest))

    def _of_another_run(self) -> Checkpoint | None:
        found = self.continuation
        return Checkpoint(found.manifest.step, found.path, found.digest) if found is not None else None


def _check_step(checkpoint: Checkpoint, steps: int) -> None:
    if checkpoint.step > steps:
        raise AnimaticError(
            f"checkpoint {checkpoint.path} was written after step {checkpoint.step}, train.steps is "
            f"{steps}: set train.steps={checkpoint.step} or more, or choose another run folder (--out)"
        )
