"""DDIM sampling (arXiv:2010.02502) with separate guidance for image and text (DynamiCrafter, section 4)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from models.diffusion.schedule import Diffusion

Progress = Callable[[int, int], None]

# (latents, timestep (b), conditions among "none", "image", "both") -> a prediction like latents for each.
Denoiser = Callable[[Tensor, Tensor, Sequence[str]], list[Tensor]]


class SamplingSettings(BaseModel):
    """How a clip is sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(50, ge=1, le=1000)
    eta: float = Field(1.0, ge=0, le=1, description="0: deterministic DDIM; 1: ancestral noise")
    text_guidance: float = Field(7.5, ge=0)
    image_guidance: float | None = Field(
        None, ge=0, description="null: text and image are guided together, with text_guidance"
    )
    guidance_rescale: float = Field(0.0, ge=0, le=1, description="arXiv:2305.08891, section 3.4")
    spacing: Literal["uniform", "uniform_trailing"] = "uniform_trailing"
    fps: float | None = Field(None, gt=0, description="frame rate (or stride, 256 model) told to the network")
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"


def timesteps(steps: int, total: int, spacing: str) -> np.ndarray:
    """Increasing diffusion steps visited by the sampler, as published.

    "uniform": 1, 1 + total // steps, …; "uniform_trailing" ends at the last step (arXiv:2305.08891).
    """
    if spacing == "uniform":
        return np.arange(0, total, total // steps) + 1
    return np.round(np.arange(total, 0, -total / steps)).astype(np.int64)[::-1] - 1


def guide(denoise: Denoiser, latents: Tensor, timestep: Tensor, settings: SamplingSettings) -> Tensor:
    """Guided prediction: e(0,0) + s_img·(e(img) - e(0,0)) + s_txt·(e(img,txt) - e(img)).

    Without image guidance: e(0,0) + s_txt·(e(img,txt) - e(0,0)). All passes run as one batch; those of weight
    zero are left out.
    """
    text_scale, image_scale = settings.text_guidance, settings.image_guidance
    if image_scale is None:
        weights = {"none": 1 - text_scale, "both": text_scale}
    else:
        weights = {"none": 1 - image_scale, "image": image_scale - text_scale, "both": text_scale}
    # Guidance rescale needs the fully conditioned prediction whatever its weight.
    needed = [name for name, weight in weights.items() if weight != 0 or name == "both"]
    predictions = dict(zip(needed, denoise(latents, timestep, needed), strict=True))
    guided = sum((weights[name] * predictions[name] for name in needed), torch.zeros_like(latents))
    if settings.guidance_rescale == 0:
        return guided
    return _rescale(guided, predictions["both"], settings.guidance_rescale)


def _rescale(guided: Tensor, conditioned: Tensor, factor: float) -> Tensor:
    dims = list(range(1, guided.dim()))
    ratio = conditioned.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return guided * (factor * ratio + (1 - factor))


@torch.no_grad()
def sample(
    diffusion: Diffusion,
    denoise: Denoiser,
    noise: Tensor,
    settings: SamplingSettings,
    generators: Sequence[torch.Generator] = (),
    progress: Progress | None = None,
) -> Tensor:
    """Denoise ``noise`` (b c t h w) to clean latents of the same shape.

    Args:
        generators: one per sample, for the noise that eta > 0 adds; a sample's noise then does not depend on
            what it is batched with.
        progress: called with (steps done, steps).
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
    return x


def draw_noise(generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Standard normal noise like ``like``, each sample's from its own CPU generator."""
    rows = [torch.randn(like.shape[1:], generator=generator) for generator in generators]
    return torch.stack(rows).to(like)
