"""Averaged weights in fp32, sharded as the masters are: every process averages its own part."""

from pathlib import Path

import torch

from training.backends.base import Fragments


class Ema:
    """Exponential moving average of this process's fragments of the master weights.

    Equal to the average of the whole weights: no value is ever exchanged.

    Attributes:
        values: the average, by name, laid out like the fragments.
    """

    def __init__(self, fragments: Fragments, decay: float, rank: int) -> None:
        """Start from the weights as they are. ``rank`` names this process's file in a checkpoint."""
        self.values = {name: fragment.values.detach().clone() for name, fragment in fragments.items()}
        self._decay, self._file = decay, f"ema-{rank:05d}.pt"

    @torch.no_grad()
    def update(self, fragments: Fragments, step: int) -> None:
        """Average in the weights after ``step`` (from 1).

        Early on the decay is (1 + step) / (10 + step), so that the random start soon loses its weight.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        current = [fragments[name].values for name in self.values]
        torch._foreach_lerp_(list(self.values.values()), current, 1 - decay)

    def save(self, folder: Path) -> None:
        """Write this process's part of the average into ``folder``."""
        torch.save(self.values, folder / self._file)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote in a process of the same rank, among as many processes."""
        saved = torch.load(folder / self._file, map_location="cpu", weights_only=True)
        for name, value in self.values.items():
            value.copy_(saved[name])
