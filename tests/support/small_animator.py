"""A whole animator at the smallest size."""

import torch

from models.animator import Animator
from models.architecture import (
    Architecture,
    CodecConfig,
    ContextConfig,
    DiffusionConfig,
    EncoderConfig,
    TowerConfig,
    UNetConfig,
)


def small_architecture() -> Architecture:
    """3 frames of 8x8 pixels, latents 4x4x4, with image attention and detail guidance off."""
    return Architecture(
        unet=UNetConfig(
            latent_channels=4,
            model_channels=16,
            channel_mult=(1, 2),
            num_res_blocks=1,
            attention_resolutions=(2, 1),
            num_head_channels=8,
            context_dim=32,
            dropout=0.0,
            norm_groups=4,
        ),
        context=ContextConfig(
            dim=32, depth=1, heads=2, dim_head=16, queries=4, frames=3, image_dim=24, context_dim=32
        ),
        diffusion=DiffusionConfig(),
        encoders=EncoderConfig(
            kind="random",
            text=TowerConfig(width=32, layers=2, heads=2),
            image=TowerConfig(width=24, layers=1, heads=2, patch_size=8, image_size=16),
        ),
        codec=CodecConfig(kind="dct", patch=2, luma=2, chroma=1),
        frames=3,
        height=8,
        width=8,
    )


def small_animator(architecture: Architecture) -> Animator:
    """In evaluation mode, with drawn weights in place of the zeros that an untrained network ends in."""
    torch.manual_seed(0)
    animator = Animator(architecture).eval()
    with torch.no_grad():
        for parameter in animator.network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return animator
