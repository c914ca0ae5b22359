"""Classifier-free guidance with separate scales for image and text (DynamiCrafter, section 4)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from models.diffusion.settings import SamplingSettings

# What the network is conditioned on in one pass: nothing, the image, or image and text.
Condition = Literal["none", "image", "both"]
# (latents, timestep (b), conditions) -> a prediction like latents for each condition.
Denoiser = Callable[[Tensor, Tensor, Sequence[Condition]], list[Tensor]]


def guide(denoise: Denoiser, latents: Tensor, timestep: Tensor, settings: SamplingSettings) -> Tensor:
    """Guided prediction: e(0,0) + s_img·(e(img) - e(0,0)) + s_txt·(e(img,txt) - e(img)).

    Without image guidance: e(0,0) + s_txt·(e(img,txt) - e(0,0)). All passes run as one batch; those of weight
    zero are left out.
    """
    weights = _weights(settings)
    # Guidance rescale needs the fully conditioned prediction whatever its weight.
    needed = [condition for condition, weight in weights.items() if weight != 0 or condition == "both"]
    predictions = dict(zip(needed, denoise(latents, timestep, needed), strict=True))
    terms = (weights[condition] * predictions[condition] for condition in needed)
    guided = sum(terms, torch.zeros_like(latents))
    if settings.guidance_rescale == 0:
        return guided
    return rescale(guided, predictions["both"], settings.guidance_rescale)


def rescale(guided: Tensor, conditioned: Tensor, factor: float) -> Tensor:
    """Pull each sample's standard deviation towards the conditioned one's (arXiv:2305.08891, section 3.4).

    Args:
        guided, conditioned: (b ...) predictions.
        factor: 0 leaves ``guided`` as it is; 1 gives it the standard deviation of ``conditioned``.
    """
    dims = list(range(1, guided.dim()))
    ratio = conditioned.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return guided * (factor * ratio + (1 - factor))


def _weights(settings: SamplingSettings) -> dict[Condition, float]:
    """The guided prediction as a weighted sum of predictions."""
    text_scale, image_scale = settings.text_guidance, settings.image_guidance
    if image_scale is None:
        return {"none": 1 - text_scale, "both": text_scale}
    return {"none": 1 - image_scale, "image": image_scale - text_scale, "both": text_scale}
