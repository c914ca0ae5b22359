"""Steps that were skipped because their gradients were not finite."""

from pathlib import Path

from core.errors import AnimaticError
from models.batch import Batch
from training import events
from training.backends import StepResult
from training.checkpoints import MANIFEST, complete_checkpoints
from training.journal import Journal


class SkippedSteps:
    """Records skipped steps; too many in a row end the run, in every process at the same step."""

    def __init__(self, most: int, journal: Journal, checkpoints: Path) -> None:
        """``most``: in a row, which ends the run; ``checkpoints``: folder of the run's checkpoints."""
        self._most, self._journal, self._checkpoints = most, journal, checkpoints
        self._in_a_row = 0

    def count(self, result: StepResult, batch: Batch, step: int) -> None:
        """Take note of a step. Raises AnimaticError when too many in a row were skipped."""
        if result.applied:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._journal.record(step, events.StepSkipped(batch.keys))
        if self._in_a_row >= self._most:
            raise AnimaticError(
                f"gradients were not finite in {self._in_a_row} steps in a row, up to step {step}: "
                f"{self._advice()}"
            )

    def _advice(self) -> str:
        complete = [path for path in complete_checkpoints(self._checkpoints) if (path / MANIFEST).is_file()]
        if not complete:
            return "lower optimizer.lr or lengthen optimizer.warmup_steps, and begin again"
        return (
            "continue with a lower rate in a run folder of its own: --set optimizer.lr=LR "
            f"--set init.checkpoint={complete[-1]}"
        )
