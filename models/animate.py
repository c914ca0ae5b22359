"""Sampling clips from still images with an assembled model; all guidance passes run as one batch."""

import copy
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor

from core.errors import AnimaticError
from models.animator import Animator
from models.architecture import Architecture
from models.asked_motion import motion_value
from models.deep_cache import DeepCache
from models.diffusion.guidance import Condition
from models.diffusion.sampler import Keep, Progress, sample
from models.diffusion.settings import SamplingSettings
from models.diffusion.student import guidance_scales, single_pass
from models.modes import Mode, frames_to_sample
from models.motion_guidance import amplified
from models.network.conditioning import ProjectedContext, repeat_over_time
from models.network.unet import UNet


class NotFiniteError(AnimaticError):
    """A clip with pixels that are not finite numbers; the message names the cause."""


@torch.no_grad()
def animate(
    animator: Animator,
    image: Tensor,
    prompts: Sequence[str],
    settings: SamplingSettings,
    progress: Progress | None = None,
    *,
    mode: Mode = "animate",
    last: Tensor | None = None,
    frames: int | None = None,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Animate still images.

    Args:
        image: (b 3 h w) in [-1, 1] at the architecture's height and width.
        prompts: b texts.
        settings: sampling; sample i draws its noise from (settings.seed, i), whatever it is batched with.
        progress: called with (steps done, steps).
        mode: "animate" continues from the image; "interpolate" ends at ``last``; "loop" ends at its own
            beginning. The last two need a network with detail guidance that was trained for them.
        last: (b 3 h w), the last frames to interpolate to.
        frames: sampled per clip; None takes the architecture's. A loop returns one less.
        seeds: b seeds of 64 bits, one for each sample's noise, in place of (settings.seed, i).

    Returns:
        (b t 3 h w) in [-1, 1], float32 on the CPU; t = 1 for a network without temporal layers.

    Raises:
        AnimaticError: where images, mode, motion and network do not fit together, a distilled network was not
            trained for the guidance, or the result is not finite.
    """
    latents = sample_latents(
        animator, image, prompts, settings, progress, mode=mode, last=last, frames=frames, seeds=seeds
    )
    return decode_latents(animator, latents, settings)


@torch.no_grad()
def decode_latents(animator: Animator, latents: Tensor, settings: SamplingSettings) -> Tensor:
    """Clips (b t 3 h w) in [-1, 1], float32 on the CPU, of latents (b c t h w).

    Raises:
        NotFiniteError: where latents or pixels are not finite.
    """
    pixels = animator.codec.decode(rearrange(latents.float(), "b c t h w -> (b t) c h w"))
    if not (torch.isfinite(latents).all() & torch.isfinite(pixels).all()):
        raise NotFiniteError(_cause_of_non_finite(animator, settings))
    return rearrange(pixels, "(b t) c h w -> b t c h w", b=len(latents)).cpu()


@torch.no_grad()
def sample_latents(
    animator: Animator,
    image: Tensor,
    prompts: Sequence[str],
    settings: SamplingSettings,
    progress: Progress | None = None,
    *,
    mode: Mode = "animate",
    last: Tensor | None = None,
    frames: int | None = None,
    seeds: Sequence[int] | None = None,
    keep: Keep | None = None,
) -> Tensor:
    """Latents (b c t h w) of a clip for each image; arguments and errors as in :func:`animate`.

    A loop's last frame repeats its first and is left out. ``keep`` drops samples between two steps, as in
    :func:`models.diffusion.sampler.sample`: what is computed for the others changes by rounding only.
    """
    frames = frames_to_sample(animator.architecture, mode, frames)
    _check_images(animator.architecture, image, len(prompts), mode, last)
    image = image.to(animator.device)
    generators = [
        torch.Generator().manual_seed(seed)
        for _, seed in zip(prompts, seeds or noise_seeds(settings.seed, len(prompts)), strict=True)
    ]
    with torch.autocast(animator.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bfloat16"):
        condition = None
        if animator.architecture.unet.detail_guidance:
            condition = _detail_condition(animator, image, mode, last, frames)
        student = animator.architecture.student
        scales = guidance_scales(student, settings)
        given = _conditioned_denoiser(animator, image, list(prompts), settings, condition, frames, scales)
        denoise = amplified(given, settings.motion, animator.architecture.motion_calibration)
        if scales is not None:
            settings = single_pass(settings)

        def kept(done: int, steps: int) -> Sequence[int] | None:
            rows = None if keep is None else keep(done, steps)
            if rows is not None:
                denoise.select(rows)
            return rows

        noise = _initial_noise(animator, frames, generators)
        points = student.points if student else None
        latents = sample(animator.diffusion, denoise, noise, settings, generators, progress, kept, points)
    return latents[:, :, :-1] if mode == "loop" else latents


def noise_seeds(seed: int, count: int = 1) -> list[int]:
    """The seeds of ``count`` clips that are sampled with one seed of the settings."""
    return [seed * 1_000_003 + index for index in range(count)]


class NetworkDenoiser:
    """The UNet as the sampler calls it; keys and values of the context are computed once."""

    def __init__(
        self,
        unet: UNet,
        texts: Mapping[Condition, Tensor],
        images: Mapping[Condition, Tensor],
        detail: Tensor | None,
        fps: Tensor | None,
        guidance: Tensor | None = None,
        cache_every: int = 1,
        motion: Tensor | None = None,
    ) -> None:
        """Args:
        texts: condition -> text tokens (b n c).
        images: condition -> image tokens (b t q c); empty for a network without image attention.
        detail: latents (b c t h w) concatenated to the noisy ones, for a network with detail guidance.
        fps: (b), or None for the network's default.
        guidance: (b 2) scales by text and image, for a network with guidance embedding.
        cache_every: passes, of which the first computes the deep layers; the others reuse what they gave.
        motion: (b) that the network is given, or None to leave it unspecified.
        """
        self._unet, self._texts, self._images, self._detail, self._fps = unet, texts, images, detail, fps
        self._guidance, self._motion = guidance, motion
        self._cache = DeepCache(cache_every) if cache_every > 1 else None
        self._projected: dict[tuple[Condition, ...], ProjectedContext] = {}

    def __call__(self, latents: Tensor, timestep: Tensor, conditions: Sequence[Condition]) -> list[Tensor]:
        """The UNet's prediction, like ``latents``, under each condition."""
        passes, key = len(conditions), tuple(conditions)
        if key not in self._projected:
            tokens = (
                torch.cat([self._images[condition] for condition in conditions]) if self._images else None
            )
            text = torch.cat([self._texts[condition] for condition in conditions])
            self._projected[key] = self._unet.project(text, tokens)
        inputs = latents if self._detail is None else torch.cat([latents, self._detail], dim=1)
        deep = None if self._cache is None else self._cache.features(conditions)
        prediction = self._unet(
            inputs,
            timestep,
            self._projected[key],
            fps=self._fps,
            conditions=passes,
            guidance=self._guidance,
            deep=deep,
            motion=self._motion,
        )
        if self._cache is not None and deep is not None:
            self._cache.store(conditions, deep, len(latents))
        return list(prediction.float().chunk(passes))

    def without_motion(self) -> "NetworkDenoiser":
        """The same, with the motion unspecified, and features of its own to reuse."""
        other = copy.copy(self)
        other._motion, other._projected = None, {}
        other._cache = copy.deepcopy(self._cache)
        return other

    def select(self, rows: Sequence[int]) -> None:
        """Continue with the samples at these positions of the batch only."""
        chosen = list(rows)
        self._texts = {name: tokens[chosen] for name, tokens in self._texts.items()}
        self._images = {name: tokens[chosen] for name, tokens in self._images.items()}
        self._detail = None if self._detail is None else self._detail[chosen]
        self._fps = None if self._fps is None else self._fps[chosen]
        self._guidance = None if self._guidance is None else self._guidance[chosen]
        self._motion = None if self._motion is None else self._motion[chosen]
        if self._cache is not None:
            self._cache.select(chosen)
        self._projected.clear()


def _initial_noise(animator: Animator, frames: int, generators: Sequence[torch.Generator]) -> Tensor:
    """(b c t h w) on the animator's device, each sample's from its own generator."""
    shape = (animator.codec.channels, frames, *animator.architecture.latent_size)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return noise.to(animator.device, non_blocking=True)


def _cause_of_non_finite(animator: Animator, settings: SamplingSettings) -> str:
    for name, weight in animator.named_parameters():
        if not torch.isfinite(weight).all():
            return (
                f"weight {name} of the model is not finite: restore the bundle from a copy, or train it again"
            )
    chosen = {
        name: getattr(settings, name) for name in ("text_guidance", "image_guidance", "fps", "precision")
    }
    given = ", ".join(f"{name} {value}" for name, value in chosen.items() if value is not None)
    return f"the sampled clip has pixels that are not finite ({given}): lower the guidance, or use float32"


def _check_images(
    architecture: Architecture, image: Tensor, count: int, mode: Mode, last: Tensor | None
) -> None:
    expected = (count, 3, architecture.height, architecture.width)
    for name, pixels in (("image", image), ("last", last)):
        if pixels is not None and tuple(pixels.shape) != expected:
            raise AnimaticError(
                f"{name} is of shape {tuple(pixels.shape)}, {expected} expected: an image for each prompt, "
                "at the size of the network"
            )
    if (last is not None) != (mode == "interpolate"):
        raise AnimaticError("mode interpolate takes a last frame, the other modes take none")


def _detail_condition(
    animator: Animator, image: Tensor, mode: Mode, last: Tensor | None, frames: int
) -> Tensor:
    """Latents (b c t h w) to concatenate: the image at every frame, or at both ends with zeros between."""
    first = animator.codec.encode(image)
    if mode == "animate":
        return repeat_over_time(first, frames)
    condition = torch.zeros_like(repeat_over_time(first, frames))
    condition[:, :, 0] = first
    condition[:, :, -1] = first if last is None else animator.codec.encode(last.to(image))
    return condition


def _conditioned_denoiser(
    animator: Animator,
    image: Tensor,
    prompts: list[str],
    settings: SamplingSettings,
    detail: Tensor | None,
    frames: int,
    scales: tuple[float, float] | None,
) -> NetworkDenoiser:
    """The network under each of the sampler's conditions: prompts and images given or left out.

    ``scales``: of guidance by text and image, which a distilled network is given with all conditions.
    """
    count = len(prompts)
    fps = None if settings.fps is None else torch.full((count,), settings.fps, device=animator.device)
    motion = None
    if settings.motion is not None:
        given = motion_value(animator.architecture, settings.motion)
        motion = torch.full((count,), given, device=animator.device)
    if scales is not None:
        tokens = animator.image_context(image, frames)
        return NetworkDenoiser(
            animator.network.unet,
            {"both": animator.encoders.text(prompts)},
            {} if tokens is None else {"both": tokens},
            detail,
            fps,
            torch.tensor(scales, device=animator.device).expand(count, 2),
            settings.cache_every,
            motion,
        )
    prompted, empty = animator.encoders.text(prompts), animator.encoders.text([""] * count)
    texts: dict[Condition, Tensor] = {"none": empty, "image": empty, "both": prompted}
    images: dict[Condition, Tensor] = {}
    tokens = animator.image_context(image, frames)
    # As published, an image left out is a grey one for CLIP.
    grey = animator.image_context(torch.zeros_like(image), frames)
    if tokens is not None and grey is not None:
        images = {"none": grey, "image": tokens, "both": tokens}
    return NetworkDenoiser(
        animator.network.unet, texts, images, detail, fps, cache_every=settings.cache_every, motion=motion
    )
