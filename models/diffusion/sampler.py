"""Sampling: the timesteps visited, and the loop over them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from core.errors import AnimaticError
from models.diffusion.guidance import Denoiser, Guidance
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings, Spacing
from models.diffusion.solvers import stepper

Progress = Callable[[int, int], None]
# Called with (steps done, steps) after a step; returns the positions in the running batch of the samples to
# continue with, or None for all of them.
Keep = Callable[[int, int], Sequence[int] | None]


def timesteps(steps: int, total: int, spacing: Spacing) -> np.ndarray:
    """Increasing diffusion steps (int64) that the sampler visits, as published.

    "uniform": 1, 1 + total // steps, …; "uniform_trailing" ends at the last step (arXiv:2305.08891). Where
    ``steps`` does not divide ``total``, the published "uniform" visits more than ``steps``, and goes past the
    schedule; such a step is left out.

    Raises AnimaticError for more steps than the schedule has.
    """
    if steps > total:
        raise AnimaticError(f"steps is {steps}, but the model's noise schedule has {total}: use fewer steps")
    if spacing == "uniform":
        visited = np.arange(0, total, total // steps) + 1
        return visited[visited < total]
    # Rounding errors of the range (steps 61, 122, …) would append a step before the first.
    return np.round(np.arange(total, 0, -total / steps)[:steps]).astype(np.int64)[::-1] - 1


def points_visited(steps: int, points: int, total: int) -> np.ndarray:
    """Increasing timesteps (int64) that a student of consistency is sampled at, up to the last.

    ``steps`` of the ``points`` that it was trained at: between these it has not learnt anything.
    """
    trained = timesteps(points, total, "uniform_trailing")
    return trained[timesteps(steps, points, "uniform_trailing")]


@torch.no_grad()
def sample(
    diffusion: Diffusion,
    denoise: Denoiser,
    noise: Tensor,
    settings: SamplingSettings,
    generators: Sequence[torch.Generator] = (),
    progress: Progress | None = None,
    keep: Keep | None = None,
    points: int | None = None,
) -> Tensor:
    """Denoise ``noise`` (b c t h w) to clean latents of the same shape, without the samples that left.

    Args:
        generators: one per sample, for the noise that DDIM with eta > 0 and SDE solvers add; a sample's noise
            then does not depend on what it is batched with.
        progress: called with (steps done, steps).
        keep: chooses the samples to continue with; ``denoise`` gets only those from then on. Sampling ends
            where none are left.
        points: of a student of consistency; see :func:`points_visited`.
    """
    total = diffusion.config.timesteps
    if points is None:
        visited = timesteps(settings.steps, total, settings.spacing)
    else:
        visited = points_visited(settings.steps, points, total)
    solver = stepper(diffusion, visited, settings)
    guidance = Guidance(settings, total)
    x = noise
    for index, now in enumerate(reversed(visited.tolist())):
        x = solver.step(x, guidance.predict(denoise, x, now), index, generators)
        if progress is not None:
            progress(index + 1, len(visited))
        kept = keep(index + 1, len(visited)) if keep is not None else None
        if kept is not None:
            x, generators = x[list(kept)], [generators[row] for row in kept] if generators else []
            solver.select(kept)
            guidance.select(kept)
            if not kept:
                break
    return x
