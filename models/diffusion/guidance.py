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


class Guidance:
    """Guided predictions over the steps of one sampling.

    Between full steps, and outside the interval of guidance, only the pass with image and text is computed.
    """

    def __init__(self, settings: SamplingSettings, timesteps: int) -> None:
        """``timesteps``: of the noise schedule."""
        self._settings, self._last = settings, max(1, timesteps - 1)
        self._guided = 0
        # What guidance added to the conditioned prediction at the last full step.
        self._addition: Tensor | None = None

    def predict(self, denoise: Denoiser, latents: Tensor, timestep: int) -> Tensor:
        """The prediction for ``latents`` (b c t h w) at ``timestep``; to be called once a step."""
        steps = torch.full((latents.shape[0],), timestep, device=latents.device, dtype=torch.long)
        low, high = self._settings.guidance_interval
        if not low <= timestep / self._last <= high:
            return denoise(latents, steps, ["both"])[0]
        full = self._guided % self._settings.guidance_every == 0
        self._guided += 1
        if full or self._addition is None:
            guided, conditioned = _guided(denoise, latents, steps, self._settings)
            if self._settings.guidance_every > 1:
                self._addition = guided - conditioned
        else:
            conditioned = denoise(latents, steps, ["both"])[0]
            guided = conditioned + self._addition
        return _rescaled(guided, conditioned, self._settings)

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        self._addition = None if self._addition is None else self._addition[list(rows)]


def guide(denoise: Denoiser, latents: Tensor, timestep: Tensor, settings: SamplingSettings) -> Tensor:
    """Guided prediction: e(0,0) + s_img·(e(img) - e(0,0)) + s_txt·(e(img,txt) - e(img)).

    Without image guidance: e(0,0) + s_txt·(e(img,txt) - e(0,0)). All passes run as one batch; those of weight
    zero are left out.
    """
    return _rescaled(*_guided(denoise, latents, timestep, settings), settings)


def rescale(guided: Tensor, conditioned: Tensor, factor: float) -> Tensor:
    """Pull each sample's standard deviation towards the conditioned one's (arXiv:2305.08891, section 3.4).

    Args:
        guided, conditioned: (b ...) predictions.
        factor: 0 leaves ``guided`` as it is; 1 gives it the standard deviation of ``conditioned``.
    """
    dims = list(range(1, guided.dim()))
    ratio = conditioned.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return guided * (factor * ratio + (1 - factor))


def _guided(
    denoise: Denoiser, latents: Tensor, timestep: Tensor, settings: SamplingSettings
) -> tuple[Tensor, Tensor]:
    """The weighted sum of predictions, and the one with image and text."""
    weights = _weights(settings)
    # Guidance rescale and reuse need the fully conditioned prediction whatever its weight.
    needed = [condition for condition, weight in weights.items() if weight != 0 or condition == "both"]
    predictions = dict(zip(needed, denoise(latents, timestep, needed), strict=True))
    terms = (weights[condition] * predictions[condition] for condition in needed)
    return sum(terms, torch.zeros_like(latents)), predictions["both"]


def _rescaled(guided: Tensor, conditioned: Tensor, settings: SamplingSettings) -> Tensor:
    factor = settings.guidance_rescale
    return guided if factor == 0 else rescale(guided, conditioned, factor)


def _weights(settings: SamplingSettings) -> dict[Condition, float]:
    """The guided prediction as a weighted sum of predictions."""
    text_scale, image_scale = settings.text_guidance, settings.image_guidance
    if image_scale is None:
        return {"none": 1 - text_scale, "both": text_scale}
    return {"none": 1 - image_scale, "image": image_scale - text_scale, "both": text_scale}
