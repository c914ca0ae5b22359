"""Skipped steps in a row, and what follows from them."""

from pathlib import Path

from core.errors import AnimaticError
from training.checkpoints import MANIFEST, complete_checkpoints
from training.config import RunConfig


class RollBack(Exception):
    """Raised in all processes at the same step: the run goes back to its newest checkpoint before a step.

    Attributes:
        step: the last one that was skipped.
        before: the first of the skipped steps in a row; the checkpoint is of an earlier one.
        data_round: of the data from there on.
        rollbacks: of the run, with this one.
    """

    def __init__(self, step: int, before: int, data_round: int, rollbacks: int) -> None:
        super().__init__(f"at step {step} back to before step {before}")
        self.step, self.before = step, before
        self.data_round, self.rollbacks = data_round, rollbacks


class SkippedSteps:
    """Counts skipped steps in a row; too many take the run back to a checkpoint, or end it.

    Attributes:
        in_a_row: up to the last step; 0 where it was applied.
        spikes: of these, steps whose loss was above the limit.
        data_round: number of times that the run, or the one that it continues, went back to a checkpoint.
        rollbacks: number of times that this run did.
    """

    def __init__(self, config: RunConfig, checkpoints: Path) -> None:
        """``checkpoints``: folder of the run's checkpoints, for messages."""
        self._config, self._checkpoints = config, checkpoints
        self.in_a_row = self.spikes = self.data_round = self.rollbacks = 0

    def applied(self) -> None:
        """Take note of a step that was applied."""
        self.in_a_row = self.spikes = 0

    def skipped(self, step: int, *, spike: bool) -> None:
        """Take note of a step that was skipped; ``spike``: because its loss was above the limit.

        Raises RollBack or AnimaticError where too many in a row were.
        """
        self.in_a_row, self.spikes = self.in_a_row + 1, self.spikes + spike
        guard = self._config.guard
        if guard.rollback_after is None:
            if self.in_a_row >= self._config.train.max_skipped:
                raise AnimaticError(self.cause(step))
        elif self.in_a_row >= guard.rollback_after:
            if self.rollbacks >= guard.rollbacks:
                raise AnimaticError(self.cause(step))
            first = step - self.in_a_row + 1
            raise RollBack(step, first, self.data_round + 1, self.rollbacks + 1)

    def went_back(self, data_round: int, rollbacks: int) -> None:
        """The run goes on from a checkpoint, with other data."""
        self.applied()
        self.data_round, self.rollbacks = data_round, rollbacks

    def cause(self, step: int) -> str:
        """Why the run ends, and what to do about it."""
        number, guard = self.in_a_row, self._config.guard
        after = f", after {self.rollbacks} of {guard.rollbacks} rollbacks" if guard.rollback_after else ""
        if not self.spikes:
            found = f"gradients were not finite in {number} steps in a row, up to step {step}"
        elif self.spikes == number:
            found = f"the loss was above the guard's limit in {number} steps in a row, up to step {step}"
        else:
            found = (
                f"{number} steps in a row were skipped, up to step {step}, {self.spikes} of them for a loss "
                "above the guard's limit"
            )
        return f"{found}{after}: {self._advice()}"

    def _advice(self) -> str:
        complete = [path for path in complete_checkpoints(self._checkpoints) if (path / MANIFEST).is_file()]
        if not complete:
            advice = "lower optimizer.lr or lengthen optimizer.warmup_steps, and begin again"
        else:
            advice = (
                "continue with a lower rate in a run folder of its own: --set optimizer.lr=LR "
                f"--set init.checkpoint={complete[-1]}"
            )
        if self.spikes:
            return f"where such a loss is usual for your data, raise guard.spike_mad and resume; or {advice}"
        return advice
