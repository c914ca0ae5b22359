"""The error of a network's prediction: of training batches, and of held-out clips at fixed noise.

The network predicts the noise or v (``Diffusion.diffuse``), and the error is measured in that space. Errors
of networks that predict something else, or on latents of another codec or another noise schedule, are
different quantities and do not compare.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from models.animator import Animator
from models.batch import Batch
from models.network.conditioning import repeat_over_time
from models.pixels import to_signed

Precision = Literal["float32", "bfloat16"]
QUANTILES = 8
# Bounds the memory of a measurement during training, beside which the trained network needs its own.
_SAMPLES_A_PASS = 4


@dataclass(frozen=True)
class DenoisingInputs:
    """Clean clips, and the conditions under which a network denoises them.

    Attributes:
        latents: (b c t h w), clean.
        condition_index: (b) int64, the frame whose latent a network with detail guidance is given.
        text: (b n c) text tokens.
        image: (b t q c) image tokens; None for a network without image attention.
        fps: (b) frame rates, or strides.
        motion: (b) subject motion, NaN where unspecified; None: unspecified.
        given: (b) bool, clips whose network is given the condition's latent, in place of zeros; None: all.
    """

    latents: Tensor
    condition_index: Tensor
    text: Tensor
    image: Tensor | None
    fps: Tensor
    given: Tensor | None = None
    motion: Tensor | None = None

    def repeated(self, count: int) -> "DenoisingInputs":
        """A single clip as a batch of ``count``."""
        return DenoisingInputs(
            self.latents.repeat_interleave(count, dim=0),
            self.condition_index.repeat_interleave(count, dim=0),
            self.text.repeat_interleave(count, dim=0),
            None if self.image is None else self.image.repeat_interleave(count, dim=0),
            self.fps.repeat_interleave(count, dim=0),
            None if self.given is None else self.given.repeat_interleave(count, dim=0),
            None if self.motion is None else self.motion.repeat_interleave(count, dim=0),
        )


def denoising_errors(
    animator: Animator, inputs: DenoisingInputs, noise: Tensor, timesteps: Tensor, *, temporal: bool = True
) -> Tensor:
    """Mean squared error of each clip's prediction, (b) float32.

    Args:
        noise: (b c t h w), added to the clean latents.
        timesteps: (b) int64 diffusion steps.
        temporal: False predicts the frames as independent images, without the temporal layers.
    """
    noisy, target = animator.diffusion.diffuse(inputs.latents, noise, timesteps)
    if animator.architecture.unet.detail_guidance:
        rows = torch.arange(len(noisy), device=noisy.device)
        condition = inputs.latents.transpose(1, 2)[rows, inputs.condition_index]
        if inputs.given is not None:
            condition = condition * inputs.given[:, None, None, None]
        noisy = torch.cat([noisy, repeat_over_time(condition, noisy.shape[2])], dim=1)
    prediction = animator.network.unet(
        noisy, timesteps, inputs.text, inputs.image, inputs.fps, temporal=temporal, motion=inputs.motion
    )
    return squared_error(prediction, target)


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each sample, (b ...) -> (b), in float32."""
    return (prediction.float() - target.float()).square().flatten(1).mean(dim=1)


def latent_posteriors(animator: Animator, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (b t c h w) each, of the latents of a batch on the animator's device.

    Encoded from the pixels, or those that the batch stores.
    """
    if batch.latents is not None:
        mean, std = batch.latents.float().unbind(2)
        return mean, std
    pixels = rearrange(batch.pixels, "b t c h w -> (b t) c h w")
    mean, std = animator.codec.posterior(to_signed(pixels))
    clips = len(batch)
    return rearrange(mean, "(b t) c h w -> b t c h w", b=clips), rearrange(
        std, "(b t) c h w -> b t c h w", b=clips
    )


def quantile_timesteps(timesteps: int) -> list[int]:
    """The middles of :data:`QUANTILES` equal parts of a schedule, from little noise to much."""
    return [(2 * quantile + 1) * timesteps // (2 * QUANTILES) for quantile in range(QUANTILES)]


@torch.no_grad()
def held_out_losses(
    animator: Animator, batch: Batch, seed: int = 0, precision: Precision = "float32"
) -> Tensor:
    """The denoising loss of clips at fixed timesteps and noise, (b quantiles) float64 on the CPU.

    Each clip's latents (the posterior's mean) are diffused to the timesteps of :func:`quantile_timesteps`
    with noise drawn from (``seed``, key, quantile); the network predicts under all conditions: ``drop_text``
    and ``drop_image`` do not count. The mean over quantiles estimates the training loss (DDPM,
    arXiv:2006.11239, equation 14) without the variance of random timesteps and noise, so two networks compare
    clip by clip.

    In [0, inf), in squares of the standard deviation of noise: a network that predicts zero scores 1 where
    it should predict noise, and about 1 where v, if latents have a standard deviation of 1.

    A clip's values depend neither on the batch around it nor on the state of any random generator.

    Raises ValueError for a network in training mode, whose dropout would count.
    """
    if animator.network.training:
        raise ValueError("the held-out loss is of a network in evaluation mode")
    device = animator.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return torch.stack([_clip_losses(animator, clip.to(device), seed) for clip in batch.split(1)])


def _clip_losses(animator: Animator, clip: Batch, seed: int) -> Tensor:
    """The losses (quantiles) of a single clip."""
    mean, _ = latent_posteriors(animator, clip)
    latents = mean.transpose(1, 2)
    text = animator.encoders.text(clip.captions) if clip.text is None else clip.text.float()
    image = animator.image_context(to_signed(clip.stills), latents.shape[2])
    inputs = DenoisingInputs(latents, clip.condition_index, text, image, clip.fps, motion=clip.motion)
    timesteps = torch.tensor(quantile_timesteps(animator.diffusion.config.timesteps))
    shape = latents.shape[1:]
    noise = torch.stack([_noise(shape, seed, clip.keys[0], quantile) for quantile in range(QUANTILES)])
    errors = [
        denoising_errors(animator, inputs.repeated(len(steps)), drawn.to(latents), steps.to(latents.device))
        for drawn, steps in zip(noise.split(_SAMPLES_A_PASS), timesteps.split(_SAMPLES_A_PASS), strict=True)
    ]
    return torch.cat(errors).double().cpu()


def _noise(shape: torch.Size, seed: int, key: str, quantile: int) -> Tensor:
    digest = hashlib.sha256(f"held-out noise\x1f{seed}\x1f{quantile}\x1f{key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randn(shape, generator=generator)
