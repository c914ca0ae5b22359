"""The held-out denoising loss of the network that made the clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.metrics.metric import Column, NetworkMetric
from pipelines.evaluate.records import Values

if TYPE_CHECKING:
    from models.animator import Animator
    from models.batch import Batch

QUANTILES = 8  # of models.denoising, which imports torch


class DenoisingLoss(NetworkMetric):
    """Mean squared error of the network's prediction for the real clip, at fixed timesteps and noise.

    The clip's latents are diffused to 8 timesteps t, the middles of equal parts of the schedule, with noise
    that depends on (seed, key, t) alone, and the network predicts the noise or v under the clip's first frame
    and caption, in float32: E_t |prediction - target|^2 / dimensions (DDPM, arXiv:2006.11239, equation 14; v:
    arXiv:2202.00512). ``denoising_loss_q1`` (little noise) to ``denoising_loss_q8`` are the values of single
    timesteps. From 0 up; predicting zero gives about 1. What training minimises, measured on clips that were
    not trained on, without any sampling: the same pictures and noise for every bundle, so that small
    differences are real. Values compare between networks that predict the same on the same latents, which
    the version names.
    """

    name = "denoising_loss"
    unit = "squared error"
    better = "lower"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The mean over timesteps, and each of them."""
        names = [self.name, *(f"{self.name}_q{quantile}" for quantile in range(1, QUANTILES + 1))]
        return tuple(Column(name, self.unit, self.better) for name in names)

    def measure(
        self, pairs: Sequence[ClipPair], rates: Sequence[float], animator: Animator, seed: int
    ) -> list[Values]:
        """Of the real clips; the generated ones do not count."""
        from models.denoising import held_out_losses

        losses = held_out_losses(animator, _batch(pairs, rates), seed)
        names = [column.name for column in self.columns]
        return [dict(zip(names, [float(each.mean()), *each.tolist()], strict=True)) for each in losses]

    def details(self) -> dict[str, JsonValue]:
        """How many timesteps."""
        return {"quantiles": QUANTILES}


def _batch(pairs: Sequence[ClipPair], rates: Sequence[float]) -> Batch:
    import numpy as np
    import torch

    from models.batch import Batch

    count = len(pairs)
    pixels = torch.from_numpy(np.stack([pair.real for pair in pairs])).permute(0, 1, 4, 2, 3)
    nothing = torch.zeros(count, dtype=torch.bool)
    return Batch(
        pixels=pixels,
        captions=[pair.clip.caption for pair in pairs],
        fps=torch.tensor(rates, dtype=torch.float32),
        condition_index=torch.zeros(count, dtype=torch.int64),
        drop_text=nothing,
        drop_image=nothing,
        seed=torch.zeros(count, dtype=torch.int64),
        keys=[pair.clip.key for pair in pairs],
    )
