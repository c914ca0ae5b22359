"""The solvers that take sampling from one timestep to the next.

diffusers has schedulers for all of them, but none for our schedules: with zero terminal SNR they sample from
alphas_cumprod = 2^-24 at the last step, and none has the dynamic rescale. Where both apply, ours are tested
against them.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.diffusion.consistency import ConsistencySteps
from models.diffusion.multistep import DpmSolver2M, UniPC
from models.diffusion.noise import draw_noise
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings
from models.diffusion.trajectory import Trajectory


class Stepper(Protocol):
    """A solver with its state."""

    def step(
        self, x: Tensor, prediction: Tensor, index: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Latents (b c t h w) at the next timestep of the trajectory.

        Args:
            x: latents at timestep ``index`` of the trajectory; every timestep is given once, in order.
            prediction: the network's for them, guided.
            generators: one per sample, for the noise that is added.
        """
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""


class Ddim:
    """DDIM (arXiv:2010.02502) with the published sampler's dynamic rescale; eta 1 is ancestral."""

    def __init__(self, diffusion: Diffusion, trajectory: Trajectory, eta: float) -> None:
        self._diffusion, self._trajectory, self._eta = diffusion, trajectory, eta

    def step(
        self, x: Tensor, prediction: Tensor, index: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """As in :class:`Stepper`."""
        alphas, scale = self._diffusion.alphas_cumprod, self._diffusion.signal_scale
        now, before = self._trajectory.timesteps[index], self._trajectory.timesteps[index + 1]
        clean, eps = self._diffusion.split(prediction, x, now)
        # The published sampler undoes the dynamic rescale step by step; the last step keeps its own scale.
        last = index + 1 == self._trajectory.steps
        clean = clean * (scale[now if last else before] / scale[now])
        alpha, alpha_before = alphas[now], alphas[before]
        sigma = self._eta * ((1 - alpha_before) / (1 - alpha) * (1 - alpha / alpha_before)).sqrt()
        x = alpha_before.sqrt() * clean + (1 - alpha_before - sigma**2).clamp(min=0).sqrt() * eps
        return x + sigma * draw_noise(generators, x) if self._eta > 0 else x

    def select(self, rows: Sequence[int]) -> None:
        """Nothing is kept between steps."""


def stepper(diffusion: Diffusion, visited: np.ndarray, settings: SamplingSettings) -> Stepper:
    """The solver of these settings, at the first of ``visited`` timesteps (increasing; sampled backwards)."""
    trajectory = Trajectory(diffusion.config, visited)
    match settings.solver:
        case "ddim":
            return Ddim(diffusion, trajectory, settings.eta)
        case "dpmpp_2m" | "sde_dpmpp_2m":
            return DpmSolver2M(diffusion, trajectory, sde=settings.solver == "sde_dpmpp_2m")
        case "unipc":
            return UniPC(diffusion, trajectory)
        case "consistency":
            return ConsistencySteps(diffusion, trajectory)
