"""The loss by diffusion step: its mean in each quarter of the schedule, from little noise to much."""

from collections.abc import Sequence

import torch
from torch import Tensor

QUARTERS = 4


class QuarterLosses:
    """Collects the losses of this process's samples; nothing is computed before :meth:`sums`."""

    def __init__(self, timesteps: int) -> None:
        """``timesteps``: length of the schedule."""
        self._timesteps = timesteps
        self._losses: list[Tensor] = []
        self._steps: list[Tensor] = []

    def add(self, losses: Tensor, steps: Tensor) -> None:
        """Losses (b) of samples, and their diffusion steps (b), on any device; steps below 0 do not count."""
        self._losses.append(losses)
        self._steps.append(steps)

    def sums(self) -> list[float]:
        """The sum of the losses of each quarter, then their numbers, of the samples since the last call.

        Losses that are not finite do not count. Waits for the device.
        """
        if not self._losses:
            return [0.0] * (2 * QUARTERS)
        losses, steps = torch.cat(self._losses).double(), torch.cat(self._steps)
        self._losses, self._steps = [], []
        counted = (steps >= 0) & losses.isfinite()
        quarters = (steps[counted] * QUARTERS).div(self._timesteps, rounding_mode="floor").long()
        found = torch.zeros(2, QUARTERS, dtype=torch.float64, device=losses.device)
        found[0].index_add_(0, quarters, losses[counted])
        found[1].index_add_(0, quarters, torch.ones_like(losses[counted]))
        return found.flatten().tolist()


def quarter_means(sums: Sequence[Sequence[float]]) -> dict[str, float]:
    """Metrics from the :meth:`QuarterLosses.sums` of all processes; a quarter without samples has none."""
    totals = [sum(values) for values in zip(*sums, strict=True)]
    losses, numbers = totals[:QUARTERS], totals[QUARTERS:]
    return {
        f"train/loss_q{quarter}": loss / number
        for quarter, (loss, number) in enumerate(zip(losses, numbers, strict=True), 1)
        if number
    }
