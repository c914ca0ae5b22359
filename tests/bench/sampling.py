"""End to end: multi-condition guided sampling of a clip, as users get it and the plain way."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from models.animate import sample_latents
from models.animator import Animator
from models.diffusion.sampler import sample
from models.diffusion.settings import SamplingSettings
from models.network.conditioning import repeat_over_time
from tests.bench.networks import tiny_animator
from tests.bench.plain import contiguous_layout, einsum_attention
from tests.bench.timing import Result, compare

PROMPT = "a red ball moves left"


def sampling(rounds: int, side: int, steps: int) -> Result:
    """Ours against three separate passes a step, keys and values computed in each."""
    animator = tiny_animator(side)
    settings = SamplingSettings(steps=steps, eta=0.0, text_guidance=2.0, image_guidance=1.5)
    pixels = side * animator.architecture.codec.patch
    image = torch.rand(1, 3, pixels, pixels, generator=torch.Generator().manual_seed(2)) * 2 - 1

    def plain() -> Tensor:
        with ExitStack() as stack:
            stack.enter_context(einsum_attention())
            stack.enter_context(contiguous_layout(animator.network.unet))
            return three_passes(animator, image, settings)

    variants = {
        "three passes, attention written out": plain,
        "three passes, fused attention": lambda: three_passes(animator, image, settings),
        "animate": lambda: sample_latents(animator, image, [PROMPT], settings),
    }
    title = f"{steps} steps of sampling with text and image guidance"
    with torch.no_grad():
        return compare("sampling", title, variants, rounds=rounds, warm_up=False)


def three_passes(animator: Animator, image: Tensor, settings: SamplingSettings) -> Tensor:
    """What ``sample_latents`` computes: a pass for each condition, text repeated for every frame."""
    frames = animator.architecture.frames
    text = {name: animator.encoders.text([words]) for name, words in (("both", PROMPT), ("none", ""))}
    text["image"] = text["none"]
    seen = {
        name: animator.network.context(animator.encoders.image(pixels))
        for name, pixels in (("both", image), ("none", torch.zeros_like(image)))
    }
    seen["image"] = seen["both"]
    condition = repeat_over_time(animator.codec.encode(image), frames)

    def denoise(latents: Tensor, timestep: Tensor, names: Sequence[str]) -> list[Tensor]:
        given = torch.cat([latents, condition], dim=1)
        return [
            animator.network.unet(given, timestep, over_time_tokens(text[name], frames), seen[name])
            for name in names
        ]

    generator = torch.Generator().manual_seed(settings.seed * 1_000_003)
    shape = (animator.codec.channels, frames, *animator.architecture.latent_size)
    return sample(animator.diffusion, denoise, torch.randn(shape, generator=generator)[None], settings)


def over_time_tokens(tokens: Tensor, frames: int) -> Tensor:
    """(b n c) -> (b t n c), copied."""
    return tokens[:, None].repeat(1, frames, 1, 1)
