"""The optimizer of a run and its learning rate."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from training.config import RunConfig


class GuardedAdamW(torch.optim.AdamW):
    """AdamW for ZeRO stage 0: clips, and skips steps with non-finite gradients as the ZeRO optimizers do.

    ``overflow`` and ``_global_grad_norm`` are the names that DeepSpeed's engine reads after a step.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], max_norm: float, **settings: Any) -> None:
        """``max_norm``: of all gradients together; 0 switches clipping off. ``settings``: AdamW's."""
        super().__init__(parameters, **settings)
        self.overflow = False
        self._global_grad_norm = 0.0
        self._max_norm = max_norm or float("inf")

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply the gradients unless one is not finite."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, self._max_norm))
        self._global_grad_norm = norm
        self.overflow = not torch.isfinite(torch.tensor(norm)).item()
        if not self.overflow:
            super().step(closure)


def build_optimizer(config: RunConfig, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW over the parameters, fused on CUDA; it clips by itself where ZeRO does not."""
    options = config.optimizer
    settings: dict[str, Any] = {
        "lr": options.lr,
        "betas": options.betas,
        "eps": options.eps,
        "weight_decay": options.weight_decay,
    }
    if parameters[0].device.type == "cuda":
        settings["fused"] = True  # one kernel for all; on the CPU the sums would change
    # An object, not DeepSpeed's "AdamW": that one compiles a fused kernel on first use.
    if config.train.zero_stage == 0:
        return GuardedAdamW(parameters, options.grad_clip, **settings)
    return torch.optim.AdamW(parameters, **settings)


def learning_rate(config: RunConfig, step: int) -> float:
    """Linear warm-up to a constant; ``step`` counts from 1."""
    warmup = config.optimizer.warmup_steps
    return config.optimizer.lr * min(1.0, step / warmup if warmup else 1.0)
