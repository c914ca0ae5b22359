"""What ZeRO does for its optimizers, for those without it."""

from collections.abc import Callable

import torch
from torch import nn


class Guarded(torch.optim.Optimizer):
    """An optimizer for ZeRO stage 0: clips, and skips steps with non-finite gradients as the ZeRO optimizers
    do. A base class before that of the arithmetic.

    ``overflow`` and ``_global_grad_norm`` are the names that DeepSpeed's engine reads after a step.
    """

    overflow = False
    _global_grad_norm = 0.0
    _max_norm = float("inf")

    def clip_at(self, max_norm: float) -> None:
        """``max_norm``: of all gradients together; 0 switches clipping off."""
        self._max_norm = max_norm or float("inf")

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients unless one is not finite."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, self._max_norm))
        self._global_grad_norm = norm
        self.overflow = not torch.isfinite(torch.tensor(norm)).item()
        if not self.overflow:
            super().step(closure)
