"""Steps that were skipped because their gradients were not finite."""

from core.errors import AnimaticError
from models.batch import Batch
from training import events
from training.backends import StepResult
from training.journal import Journal


class SkippedSteps:
    """Records skipped steps; too many in a row end the run, in every process at the same step."""

    def __init__(self, most: int, journal: Journal) -> None:
        """``most``: in a row, which ends the run."""
        self._most, self._journal = most, journal
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
                "lower optimizer.lr or lengthen optimizer.warmup_steps, then resume"
            )
