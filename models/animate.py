"""Sampling a clip from still images: what each mode conditions on, and all guidance passes as one batch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from einops import repeat
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import Architecture
from models.diffusion.sampler import Denoiser, Progress, SamplingSettings, sample
from models.network.conditioning import ProjectedContext
from models.network.unet import UNet

if TYPE_CHECKING:
    from models.animator import Animator

Mode = Literal["animate", "interpolate", "loop"]


def sample_latents(
    animator: "Animator",
    image: Tensor,
    prompts: Sequence[str],
    settings: SamplingSettings,
    *,
    mode: Mode = "animate",
    last: Tensor | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Latents (b c t h w) of a clip per image; arguments and errors as ``Animator.animate``.

    A loop's last frame repeats its first and is left out.
    """
    frames = frames_to_sample(animator.architecture, mode, frames)
    _check_images(animator, image, prompts, mode, last)
    image = image.to(animator.device)
    condition = None
    if animator.architecture.unet.detail_guidance:
        condition = _condition(animator, image, mode, last, frames)
    denoise = _denoiser(animator, image, list(prompts), settings, condition, frames)
    generators = [
        torch.Generator().manual_seed(settings.seed * 1_000_003 + index) for index in range(len(prompts))
    ]
    shape = (animator.codec.channels, frames, *animator.architecture.latent_size)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    latents = sample(animator.diffusion, denoise, noise.to(animator.device), settings, generators, progress)
    return latents[:, :, :-1] if mode == "loop" else latents


def denoiser(
    unet: UNet,
    texts: Mapping[str, Tensor],
    images: Mapping[str, Tensor],
    condition: Tensor | None,
    fps: Tensor | None,
) -> Denoiser:
    """The network under named conditions, as the sampler calls it; keys and values are computed once.

    Args:
        texts: condition ("none", "image", "both") -> text tokens (b n c).
        images: condition -> image tokens (b t q c); empty for a network without image attention.
        condition: latents (b c t h w) concatenated to the noisy ones, for a network with detail guidance.
        fps: (b), or None for the network's default.
    """
    projected: dict[tuple[str, ...], ProjectedContext] = {}

    def denoise(latents: Tensor, timestep: Tensor, names: Sequence[str]) -> list[Tensor]:
        passes, key = len(names), tuple(names)
        if key not in projected:
            tokens = torch.cat([images[name] for name in names]) if images else None
            projected[key] = unet.project(torch.cat([texts[name] for name in names]), tokens)
        inputs = latents if condition is None else torch.cat([latents, condition], dim=1)
        prediction = unet(inputs, timestep, projected[key], fps=fps, conditions=passes)
        return list(prediction.float().chunk(passes))

    return denoise


def frames_to_sample(architecture: Architecture, mode: Mode, frames: int | None) -> int:
    """Frames of a clip: those asked for, else the architecture's.

    Raises:
        AnimaticError: where the network cannot do the mode, or there are too few frames for it.
    """
    if not architecture.unet.temporal:
        if frames not in (None, 1) or mode != "animate":
            raise AnimaticError(
                "this network has no temporal layers and draws single images: use a bundle of stage 2 or 3"
            )
        return 1
    if mode != "animate" and not architecture.unet.detail_guidance:
        raise AnimaticError(
            f"mode {mode} shows the network its last frame, which takes detail guidance: "
            "use a bundle of stage 3"
        )
    frames = architecture.frames if frames is None else frames
    least = {"animate": 1, "interpolate": 2, "loop": 3}[mode]
    if frames < least:
        raise AnimaticError(f"frames is {frames}: mode {mode} needs at least {least}")
    return frames


def over_time(latent: Tensor, frames: int) -> Tensor:
    """(b c h w) -> (b c t h w), repeated."""
    return repeat(latent, "b c h w -> b c t h w", t=frames)


def _check_images(
    animator: "Animator", image: Tensor, prompts: Sequence[str], mode: Mode, last: Tensor | None
) -> None:
    architecture = animator.architecture
    expected = (len(prompts), 3, architecture.height, architecture.width)
    for name, given in (("image", image), ("last", last)):
        if given is not None and tuple(given.shape) != expected:
            raise AnimaticError(
                f"{name} is of shape {tuple(given.shape)}, {expected} expected: an image for each prompt, at "
                "the size of the network"
            )
    if (last is not None) != (mode == "interpolate"):
        raise AnimaticError("a last frame goes with mode interpolate, and only with it")


def _condition(animator: "Animator", image: Tensor, mode: Mode, last: Tensor | None, frames: int) -> Tensor:
    """Latents (b c t h w) to concatenate: the image at every frame, or at both ends with zeros between."""
    first = animator.codec.encode(image)
    if mode == "animate":
        return over_time(first, frames)
    condition = torch.zeros_like(over_time(first, frames))
    condition[:, :, 0] = first
    condition[:, :, -1] = first if last is None else animator.codec.encode(last.to(image))
    return condition


def _denoiser(
    animator: "Animator",
    image: Tensor,
    prompts: list[str],
    settings: SamplingSettings,
    condition: Tensor | None,
    frames: int,
) -> Denoiser:
    """The network shown the prompts and images, or kept from them."""
    count = len(prompts)
    texts = {"both": animator.encoders.text(prompts), "none": animator.encoders.text([""] * count)}
    texts["image"] = texts["none"]
    images: dict[str, Tensor] = {}
    if animator.context is not None:
        images["both"] = images["image"] = animator.context(animator.encoders.image(image), frames)
        # The image is dropped as published: CLIP sees grey.
        images["none"] = animator.context(animator.encoders.image(torch.zeros_like(image)), frames)
    fps = None if settings.fps is None else torch.full((count,), settings.fps, device=animator.device)
    return denoiser(animator.unet, texts, images, condition, fps)
