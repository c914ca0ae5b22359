"""The optimizer of a run."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from training.backends.guarded import Guarded
from training.config import RunConfig
from training.config.sections import OptimizerConfig
from training.moments_8bit import check_installed


class GuardedAdamW(Guarded, torch.optim.AdamW):
    """AdamW for ZeRO stage 0."""

    def __init__(
        self, parameters: Sequence[nn.Parameter] | list[dict[str, Any]], max_norm: float, **settings: Any
    ) -> None:
        """``max_norm``: see :meth:`Guarded.clip_at`. ``settings``: AdamW's."""
        super().__init__(parameters, **settings)
        self.clip_at(max_norm)


def build_optimizer(config: RunConfig, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW over the parameters, fused on CUDA; it clips by itself where ZeRO does not.

    Offloaded, it is torch's fused one for the CPU: one vectorised kernel on all cores as DeepSpeedCPUAdam,
    without its compilation on first use, and the same on every machine.

    Raises AnimaticError where ``optimizer.kind`` needs a package that is not installed.
    """
    options = config.optimizer
    settings: dict[str, Any] = {"lr": options.lr, "betas": options.betas, "eps": options.eps}
    if options.kind == "adamw_8bit":
        check_installed(config)
        from training.backends.adamw_8bit import GuardedAdamW8bit

        return GuardedAdamW8bit(_groups(options, parameters), options.grad_clip, **settings)
    if parameters[0].device.type == "cuda" or config.train.offload_optimizer:
        settings["fused"] = True  # one kernel for all; on the CPU the sums would change
    groups = _groups(options, parameters)
    # An object, not DeepSpeed's "AdamW": that one compiles a fused kernel on first use.
    if config.train.zero_stage == 0:
        return GuardedAdamW(groups, options.grad_clip, **settings)
    return torch.optim.AdamW(groups, **settings)


def _groups(options: OptimizerConfig, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """Groups of parameters by their weight decay, in order."""
    if options.weight_decay_on == "all":
        return [{"params": list(parameters), "weight_decay": options.weight_decay}]
    # Biases, scales of norms and gates have one dimension at most, which the backend makes one at least.
    decaying = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() <= 1]
    groups = [
        {"params": decaying, "weight_decay": options.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
