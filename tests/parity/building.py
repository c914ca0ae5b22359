"""Our modules from a case's architecture, with its drawn weights."""

import tempfile
from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import save_file

from core.errors import AnimaticError
from models import checkpoints, public_keys
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
from tests.parity.cases import ResamplerSection, UNetSection, VideoCase
from tests.parity.drawn import weights


def drawn_animator(case: VideoCase) -> Animator:
    """The animator of a case, in evaluation mode.

    Weights are loaded as a user's are: the autoencoder's from a file, all by their public names.

    Raises:
        AnimaticError: where the architecture is not supported, or the case's parameters are not its own.
    """
    state = weights(case.parameters)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vae.safetensors"
        save_file(
            {key: value for key, value in state.items() if key.startswith(public_keys.AUTOENCODER)}, path
        )
        try:
            described = architecture(case, codec(case, str(path)))
        except ValidationError as error:
            raise AnimaticError(f"case {case.case}: {error.errors()[0]['msg']}") from error
        animator = Animator(described)
    checkpoints.load(animator, state)
    return animator.eval()


def architecture(case: VideoCase, frame_codec: CodecConfig) -> Architecture:
    """The case's architecture in our terms; its encoders are never used."""
    height, width = (side * frame_codec.patch for side in case.latent_hw)
    tower = TowerConfig(width=8, layers=2, heads=1)
    return Architecture(
        unet=_unet(case.unet),
        context=_context(case.resampler),
        diffusion=DiffusionConfig(
            parameterization=case.parameterization,
            linear_start=case.linear_start,
            linear_end=case.linear_end,
            zero_terminal_snr=case.zero_terminal_snr,
            base_scale=case.base_scale,
        ),
        encoders=EncoderConfig(kind="random", text=tower, image=tower),
        codec=frame_codec,
        frames=case.resampler.video_length,
        height=height,
        width=width,
    )


def _unet(unet: UNetSection) -> UNetConfig:
    return UNetConfig(
        latent_channels=unet.out_channels,
        detail_guidance=unet.in_channels == 2 * unet.out_channels,
        model_channels=unet.model_channels,
        channel_mult=unet.channel_mult,
        num_res_blocks=unet.num_res_blocks,
        attention_resolutions=unet.attention_resolutions,
        num_head_channels=unet.num_head_channels,
        transformer_depth=unet.transformer_depth,
        context_dim=unet.context_dim,
        dropout=unet.dropout,
        learnable_gate=unet.image_cross_attention_scale_learnable,
        fps_condition=unet.fs_condition,
        default_fps=unet.default_fs,
    )


def _context(resampler: ResamplerSection) -> ContextConfig:
    return ContextConfig(
        dim=resampler.dim,
        depth=resampler.depth,
        heads=resampler.heads,
        dim_head=resampler.dim_head,
        queries=resampler.num_queries,
        frames=resampler.video_length,
        image_dim=resampler.embedding_dim,
        context_dim=resampler.output_dim,
        ff_mult=resampler.ff_mult,
    )


def codec(case: VideoCase, path: str) -> CodecConfig:
    """The case's autoencoder with the weights at ``path``; without one, anything with the right channels."""
    channels, vae = case.unet.out_channels, case.vae
    if vae is None:
        return CodecConfig(kind="dct", luma=channels - 2, chroma=1)
    return CodecConfig(
        path=path,
        patch=2 ** (len(vae.ch_mult) - 1),
        width=vae.ch,
        channel_mult=vae.ch_mult,
        res_blocks=vae.num_res_blocks,
        latent_channels=vae.z_channels,
    )
