"""Consistency models of latents (arXiv:2303.01469, arXiv:2310.04378): their function, and their steps.

A student's function takes latents at any point of its teacher's guided DDIM trajectory to the same clean
latents, so that few evaluations of the network sample a clip.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.diffusion.noise import draw_noise
from models.diffusion.schedule import Diffusion
from models.diffusion.trajectory import Trajectory

# Of the boundary condition, as in LCM and T2V-Turbo: timesteps are multiplied before they are compared with
# the standard deviation of data.
_TIMESTEP_SCALING, _DATA_STD = 10.0, 0.5


def consistent_clean(diffusion: Diffusion, prediction: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """The consistency function c_skip·x_t + c_out·x_0 (b ...), with x_0 without the dynamic rescale.

    At timestep 0 it is the identity; from the second point of a trajectory on, x_0 to five digits. At a last
    step without signal, x_0 is v itself with its sign changed.

    Args:
        prediction: the network's, of noise or v, for ``noisy`` (b ...) at ``timesteps`` (b) int64.
    """
    clean, _ = diffusion.split_each(prediction, noisy, timesteps)
    scaled = _TIMESTEP_SCALING * timesteps.float()
    skip = _DATA_STD**2 / (scaled**2 + _DATA_STD**2)
    out = scaled / (scaled**2 + _DATA_STD**2).sqrt()
    return _column(skip, noisy) * noisy + _column(out, noisy) * (
        clean / _column(diffusion.signal_scale[timesteps], noisy)
    )


def ddim_between(
    diffusion: Diffusion, prediction: Tensor, noisy: Tensor, timesteps: Tensor, before: Tensor
) -> Tensor:
    """A step of deterministic DDIM (arXiv:2010.02502) from ``timesteps`` (b) to ``before`` (b), with the
    dynamic rescale of both: latents (b ...)."""
    clean, eps = diffusion.split_each(prediction, noisy, timesteps)
    scale, alpha = diffusion.signal_scale, _column(diffusion.alphas_cumprod[before], noisy)
    clean = clean * _column(scale[before] / scale[timesteps], noisy)
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * eps


class ConsistencySteps:
    """Multistep consistency sampling (arXiv:2303.01469, algorithm 1): clean latents, then new noise."""

    def __init__(self, diffusion: Diffusion, trajectory: Trajectory) -> None:
        self._diffusion, self._trajectory = diffusion, trajectory

    def step(
        self, x: Tensor, prediction: Tensor, index: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """As in :class:`models.diffusion.solvers.Stepper`; the last step's latents are clean."""
        now = torch.full((len(x),), self._trajectory.timesteps[index], device=x.device)
        clean = consistent_clean(self._diffusion, prediction, x, now)
        if index + 1 == self._trajectory.steps:
            return clean
        before = torch.full_like(now, self._trajectory.timesteps[index + 1])
        return self._diffusion.diffuse(clean, draw_noise(generators, clean), before)[0]

    def select(self, rows: Sequence[int]) -> None:
        """Nothing is kept between steps."""


def _column(values: Tensor, like: Tensor) -> Tensor:
    """Values (b) that broadcast over ``like`` (b ...)."""
    return values.view(-1, *[1] * (like.dim() - 1)).to(like.dtype)
