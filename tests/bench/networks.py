"""The networks and inputs that are measured: tiny-sized with 16 frames of 32x32 latents, and full-sized."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from models.animator import Animator
from models.architecture import Architecture, UNetConfig
from models.network.unet import UNet
from training.config import resolve

FRAMES, SIDE = 16, 32


@dataclass(frozen=True)
class Inputs:
    """Of one forward pass: latents (b c t h w), timesteps (b), text (n·b 77 c), image (n·b t 16 c)."""

    latents: Tensor
    timesteps: Tensor
    text: Tensor
    image: Tensor


@lru_cache(maxsize=1)
def tiny_animator(side: int = SIDE, frames: int = FRAMES) -> Animator:
    """The tiny preset's stage-3 animator, for ``frames`` frames of latents ``side`` wide, weights drawn."""
    values = resolve(3, "tiny").model.model_dump()
    pixels = side * values["codec"]["patch"]
    values |= {"frames": frames, "height": pixels, "width": pixels}
    values["context"]["frames"] = frames
    torch.manual_seed(0)
    animator = Animator(Architecture.model_validate(values)).eval().requires_grad_(False)
    draw_weights(animator.network.unet)
    return animator


def draw_weights(unet: UNet) -> None:
    """A fresh UNet outputs zero: give every parameter a value of the size that training gives it."""
    with torch.no_grad():
        for parameter in unet.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 25
            parameter.add_(torch.randn_like(parameter) * 0.5 / fan_in**0.5)


def inputs(
    config: UNetConfig,
    *,
    batch: int = 1,
    conditions: int = 1,
    size: tuple[int, int] = (SIDE, SIDE),
    frames: int = FRAMES,
) -> Inputs:
    """Standard normal inputs of a network; the same at every call."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Inputs(
        normal(batch, config.in_channels, frames, *size),
        torch.full((batch,), 500),
        normal(conditions * batch, 77, config.context_dim),
        normal(conditions * batch, frames, 16, config.context_dim),
    )
