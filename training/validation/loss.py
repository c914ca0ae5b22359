"""The held-out denoising loss during training: the same clips, timesteps and noise each time."""

import time
from collections.abc import Callable
from typing import TypedDict

import torch

from models.animator import Animator
from models.batch import Batch
from models.denoising import Precision, held_out_losses


class MeasuredLoss(TypedDict):
    """Figures by name, of so many clips, and the seconds that they took."""

    metrics: dict[str, float]
    clips: int
    seconds: float


def measure_loss(
    animator: Animator, clips: Batch, stopped: Callable[[], bool] = lambda: False
) -> MeasuredLoss | None:
    """The mean loss over clips, and of each quantile of timesteps; None once ``stopped`` returns True.

    A clip that the batch contains twice, as of a dataset with fewer, counts once. On GPUs the network
    computes in bfloat16, as it does for samples.
    """
    began = time.perf_counter()
    precision: Precision = "float32" if animator.device.type == "cpu" else "bfloat16"
    losses: dict[str, torch.Tensor] = {}
    for clip in clips.split(1):
        if stopped():
            return None
        (key,) = clip.keys
        if key not in losses:
            losses[key] = held_out_losses(animator, clip, precision=precision)[0]
    by_quantile = torch.stack(list(losses.values())).mean(dim=0)
    metrics = {"validation/loss": float(by_quantile.mean())}
    metrics |= {f"validation/loss_q{n}": float(value) for n, value in enumerate(by_quantile, 1)}
    return {"metrics": metrics, "clips": len(losses), "seconds": time.perf_counter() - began}
