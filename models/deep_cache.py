"""Reuse of what deep layers of the UNet compute, over the steps of sampling (DeepCache, arXiv:2312.00858)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.diffusion.guidance import Condition
from models.network.deep_features import DeepFeatures


class DeepCache:
    """The features of the newest complete pass, by condition, for the passes until the next one."""

    def __init__(self, every: int) -> None:
        """``every``: passes, of which the first is complete; 1 makes every pass complete."""
        self._every, self._passes = every, 0
        # (b t c h w) each.
        self._stored: dict[Condition, Tensor] = {}

    def features(self, conditions: Sequence[Condition]) -> DeepFeatures:
        """For the next pass: filled, or to be filled by it where it is the turn of a complete pass, or a
        condition was not part of the last one."""
        if self._passes % self._every == 0 or any(name not in self._stored for name in conditions):
            self._passes, self._stored = 1, {}
            return DeepFeatures()
        self._passes += 1
        return DeepFeatures(torch.cat([self._stored[name].flatten(0, 1) for name in conditions]))

    def store(self, conditions: Sequence[Condition], features: DeepFeatures, batch: int) -> None:
        """Keep what a complete pass over ``batch`` samples filled."""
        if not self._stored and features.rows is not None:
            # Copied: a CUDA graph writes its results again in the next pass.
            parts = features.rows.clone().chunk(len(conditions))
            clips = [part.unflatten(0, (batch, -1)) for part in parts]
            self._stored = dict(zip(conditions, clips, strict=True))

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        self._stored = {name: clips[list(rows)] for name, clips in self._stored.items()}
