"""Decides which steps are applied, and what follows from those that are not."""

from pathlib import Path

from models.batch import Batch
from training.backends import StepResult
from training.config import RunConfig
from training.guard.skipped_steps import SkippedSteps
from training.journal import Journal


class RollBack(Exception):
    """Raised in all processes at the same step: the run goes back to its newest checkpoint before a step.

    Attributes:
        before: the checkpoint is of an earlier step than this one.
    """

    def __init__(self, before: int) -> None:
        super().__init__(f"back to before step {before}")
        self.before = before


class Guard:
    """Follows the steps of a run, alike in all processes.

    Attributes:
        data_round: number of times that the run went back, by which its data differs.
    """

    def __init__(self, config: RunConfig, journal: Journal, checkpoints: Path) -> None:
        """``checkpoints``: folder of the run's checkpoints, for messages."""
        self.data_round = 0
        self._skipped = SkippedSteps(config.train.max_skipped, journal, checkpoints)

    @property
    def limit(self) -> float | None:
        """The largest loss with which a step is applied; None for no limit."""
        return None

    def count(self, result: StepResult, batch: Batch, step: int) -> None:
        """Take note of a step.

        Raises, in all processes, RollBack where the run should go back, and AnimaticError where too many
        steps in a row were skipped.
        """
        self._skipped.count(result, batch, step)
