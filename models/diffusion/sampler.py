"""DDIM sampling (arXiv:2010.02502)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from core.errors import AnimaticError
from models.diffusion.guidance import Denoiser, guide
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings, Spacing

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


@torch.no_grad()
def sample(
    diffusion: Diffusion,
    denoise: Denoiser,
    noise: Tensor,
    settings: SamplingSettings,
    generators: Sequence[torch.Generator] = (),
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> Tensor:
    """Denoise ``noise`` (b c t h w) to clean latents of the same shape, without the samples that left.

    Args:
        generators: one per sample, for the noise that eta > 0 adds; a sample's noise then does not depend on
            what it is batched with.
        progress: called with (steps done, steps).
        keep: chooses the samples to continue with; ``denoise`` gets only those from then on. Sampling ends
            where none are left.
    """
    visited = timesteps(settings.steps, diffusion.config.timesteps, settings.spacing)
    alphas, scale = diffusion.alphas_cumprod, diffusion.signal_scale
    x = noise
    for done, index in enumerate(reversed(range(len(visited)))):
        now, before = int(visited[index]), int(visited[index - 1]) if index else 0
        timestep = torch.full((x.shape[0],), now, device=x.device, dtype=torch.long)
        prediction = guide(denoise, x, timestep, settings)
        clean, eps = diffusion.split(prediction, x, now)
        # The published sampler undoes the dynamic rescale step by step; the first step keeps its own scale.
        clean = clean * (scale[before if index else now] / scale[now])
        alpha, alpha_before = alphas[now], alphas[before]
        sigma = settings.eta * ((1 - alpha_before) / (1 - alpha) * (1 - alpha / alpha_before)).sqrt()
        x = alpha_before.sqrt() * clean + (1 - alpha_before - sigma**2).clamp(min=0).sqrt() * eps
        if settings.eta > 0:
            x = x + sigma * draw_noise(generators, x)
        if progress is not None:
            progress(done + 1, len(visited))
        kept = keep(done + 1, len(visited)) if keep is not None else None
        if kept is not None:
            x, generators = x[list(kept)], [generators[row] for row in kept] if generators else []
            if not kept:
                break
    return x


def draw_noise(generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Standard normal noise like ``like``, each sample's from its own CPU generator."""
    rows = [torch.randn(like.shape[1:], generator=generator) for generator in generators]
    return torch.stack(rows).to(like, non_blocking=True)
