"""Motion amplified: predictions that differ more from those without a motion than the network's own.

Classifier-free guidance (arXiv:2207.12598) by the motion: e(-) + a·(e(motion) - e(-)) of each prediction,
where e(-) leaves the motion unspecified. It takes twice the passes.
"""

from collections.abc import Sequence
from typing import Protocol, Self

from torch import Tensor

from models.diffusion.guidance import Condition
from models.motion import MotionCalibration


class SelectiveDenoiser(Protocol):
    """A network as the sampler calls it, under the motion that was asked for."""

    def __call__(self, latents: Tensor, timestep: Tensor, conditions: Sequence[Condition]) -> list[Tensor]:
        """A prediction like ``latents`` under each condition."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        ...


class MotionDenoiser(SelectiveDenoiser, Protocol):
    """One whose motion can be left out."""

    def without_motion(self) -> Self:
        """The same, with the motion unspecified."""
        ...


def amplified(
    denoise: MotionDenoiser, motion: float | None, calibration: MotionCalibration | None
) -> SelectiveDenoiser:
    """The network under ``motion``, as strongly as its calibration was measured with."""
    if motion is None or calibration is None or calibration.amplification == 1:
        return denoise
    return _Amplified(denoise, denoise.without_motion(), calibration.amplification)


class _Amplified:
    """Two passes, with and without motion, as one."""

    def __init__(self, moved: SelectiveDenoiser, unspecified: SelectiveDenoiser, factor: float) -> None:
        self._both, self._factor = (moved, unspecified), factor

    def __call__(self, latents: Tensor, timestep: Tensor, conditions: Sequence[Condition]) -> list[Tensor]:
        moved, unspecified = (each(latents, timestep, conditions) for each in self._both)
        return [low + self._factor * (high - low) for high, low in zip(moved, unspecified, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        for each in self._both:
            each.select(rows)
