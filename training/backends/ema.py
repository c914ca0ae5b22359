"""Averaged weights, sharded as ZeRO shards the masters: every rank averages what it holds, in fp32."""

from collections.abc import Mapping

import torch
from torch import Tensor

Fragments = Mapping[str, tuple[Tensor, int]]


class Ema:
    """Exponential moving average of this rank's fragments of the master weights.

    Equal to the average of the whole weights: no value is ever exchanged.
    """

    def __init__(self, fragments: Fragments, decay: float) -> None:
        self.decay = decay
        self.values = {name: fragment.detach().clone() for name, (fragment, _) in fragments.items()}

    @torch.no_grad()
    def update(self, fragments: Fragments, step: int) -> None:
        """Average in the weights after ``step`` (from 1) applied steps.

        Early on the decay is (1 + step) / (10 + step), so that the random start does not linger.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [fragments[name][0] for name in self.values]
        torch._foreach_lerp_(list(self.values.values()), current, 1 - decay)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over values saved from :attr:`values` on the same rank of the same world."""
        for name, value in self.values.items():
            value.copy_(values[name])
