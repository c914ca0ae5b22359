"""Architecture of an animator as data: everything that decides tensor shapes and the maths between them.

The models are frozen and reject unknown keys, so that an architecture read from a bundle is either
understood completely or rejected.
"""

import operator
from typing import Literal, Self

from pydantic import Field, model_validator

from core.canonical_json import digest_of
from core.config.section import Section
from models.motion import MotionCalibration
from models.student import StudentConfig

_VAE_NORM_GROUPS = 32


class UNetConfig(Section):
    """Space-time UNet (VideoCrafter), with image cross-attention (DynamiCrafter, arXiv:2310.12190)."""

    latent_channels: int = Field(4, gt=0, description="channels of the latent that is denoised")
    detail_guidance: bool = Field(False, description="the condition's latent is concatenated to the noise")
    model_channels: int = Field(320, gt=0, description="width of the first level")
    channel_mult: tuple[int, ...] = Field((1, 2, 4, 4), description="width of each level / model_channels")
    num_res_blocks: int = Field(2, gt=0, description="residual blocks per level on the way down")
    attention_resolutions: tuple[int, ...] = Field(
        (4, 2, 1), description="downsampling factors with attention"
    )
    num_head_channels: int = Field(64, gt=0, description="width of an attention head")
    transformer_depth: int = Field(1, gt=0, description="blocks of every spatial and temporal transformer")
    context_dim: int = Field(1024, gt=0, description="width of text and image context tokens")
    dropout: float = Field(0.1, ge=0, lt=1, description="in residual and temporal convolution blocks")
    norm_groups: int = Field(32, gt=0, description="groups of every GroupNorm")
    temporal: bool = Field(True, description="with temporal layers (video) or without (image)")
    image_cross_attention: bool = Field(True, description="second cross-attention branch for image tokens")
    learnable_gate: bool = Field(False, description="tanh gate on the image branch (the 256 model)")
    fps_condition: bool = Field(True, description="embedding of the frame rate (or stride) beside the time")
    default_fps: int = Field(24, description="rate (or stride) assumed when none is given")
    guidance_embedding: bool = Field(
        False,
        description="embedding of the scales of guidance beside the time: one pass in place of two or three",
        exclude_if=operator.not_,
    )
    motion_condition: bool = Field(
        False,
        description="embedding of the subject motion of a clip beside the time",
        exclude_if=operator.not_,
    )

    @property
    def in_channels(self) -> int:
        """Channels of the first convolution's input."""
        return self.latent_channels * (2 if self.detail_guidance else 1)

    @model_validator(mode="after")
    def _widths_divide(self) -> Self:
        for level, mult in enumerate(self.channel_mult):
            width = mult * self.model_channels
            # The middle, as wide as the last level, has attention always.
            attention = 2**level in self.attention_resolutions or level == len(self.channel_mult) - 1
            if width % self.norm_groups or (attention and width % self.num_head_channels):
                raise ValueError(
                    f"a level of width {width} is not divisible by norm_groups={self.norm_groups} "
                    f"and num_head_channels={self.num_head_channels}"
                )
        return self


class ContextConfig(Section):
    """The query transformer P: image tokens in, context tokens out."""

    dim: int = Field(1024, gt=0, description="width of the queries")
    depth: int = Field(4, gt=0, description="layers of attention and feed-forward")
    heads: int = Field(12, gt=0, description="attention heads")
    dim_head: int = Field(64, gt=0, description="width of an attention head")
    queries: int = Field(16, gt=0, description="context tokens per frame")
    frames: int | None = Field(16, description="sets of queries, one per frame; null: one set for an image")
    image_dim: int = Field(1280, gt=0, description="width of the image encoder's tokens")
    context_dim: int = Field(1024, gt=0, description="width of the context tokens that come out")
    ff_mult: int = Field(4, gt=0, description="width of the feed-forward layers / dim")
    tokens: Literal["all", "class"] = Field(
        "all",
        description="image tokens that are read: all of them, or CLIP's class token alone (an ablation)",
    )


class DiffusionConfig(Section):
    """Noise schedule and what the network predicts."""

    parameterization: Literal["eps", "v"] = Field("v", description="the network predicts noise, or v")
    timesteps: int = Field(1000, gt=1, description="length of the noise schedule")
    linear_start: float = Field(0.00085, description="first beta; their square roots rise linearly")
    linear_end: float = Field(0.012, description="last beta")
    zero_terminal_snr: bool = Field(
        True, description="rescale the schedule so that the last step is pure noise (arXiv:2305.08891)"
    )
    base_scale: float | None = Field(None, description="dynamic rescale: signal scale reached at step 400")

    @model_validator(mode="after")
    def _epsilon_needs_signal(self) -> Self:
        if self.parameterization == "eps" and self.zero_terminal_snr:
            raise ValueError(
                "epsilon prediction is undefined at zero terminal SNR: use parameterization v or "
                "zero_terminal_snr false"
            )
        return self


class TowerConfig(Section):
    """A small CLIP tower with random weights: it distinguishes words and patches, and is never trained."""

    width: int = Field(gt=0, description="of the tokens")
    layers: int = Field(gt=0, description="transformer blocks")
    heads: int = Field(gt=0, description="attention heads")
    patch_size: int = Field(8, gt=0, description="of the image tower only, pixels")
    image_size: int = Field(64, gt=0, description="of the image tower only, pixels")


class EncoderConfig(Section):
    """Frozen text and image encoders.

    ``open_clip`` loads a public model's weights from ``path``; ``random`` draws small towers of the same
    structure from ``seed`` (the tiny preset, tests).
    """

    kind: Literal["open_clip", "random"] = Field(
        "open_clip", description="a public model, or small towers with random weights"
    )
    model: str = Field("ViT-H-14", description="open_clip's name of the model")
    path: str | None = Field(
        None,
        description="open_clip weights (.bin or .safetensors), or .safetensors with the tensors of a "
        "published checkpoint (cond_stage_model.*, embedder.*)",
    )
    seed: int = Field(0, description="random: of the towers' weights")
    text: TowerConfig | None = None
    image: TowerConfig | None = None

    @model_validator(mode="after")
    def _random_needs_towers(self) -> Self:
        if self.kind == "random" and (self.text is None or self.image is None):
            raise ValueError("encoders.kind random needs both encoders.text and encoders.image")
        return self


class CodecConfig(Section):
    """The frame codec: Stable Diffusion's autoencoder, a small autoencoder (the tiny preset), or a truncated
    DCT of patches.

    ``width``, ``channel_mult``, ``res_blocks`` and ``latent_channels`` describe a weight file; a diffusers
    folder has its own description.
    """

    kind: Literal["vae", "conv", "dct"] = Field(
        "vae",
        description="Stable Diffusion's autoencoder, a small convolutional autoencoder, or a truncated DCT "
        "of patches",
    )
    path: str | None = Field(
        None,
        description="diffusers autoencoder folder, or .safetensors with first_stage_model.* tensors; conv: "
        "null is the one that ships with the code",
    )
    digest: str | None = Field(
        None, description="conv: of its weights, recorded in bundles: no other weights are accepted then"
    )
    scale: float = Field(0.18215, gt=0, description="factor on VAE latents")
    patch: int = Field(8, gt=0, description="pixels per latent cell along each side")
    width: int = Field(128, gt=0, description="vae, conv: width of the finest level")
    channel_mult: tuple[int, ...] = Field((1, 2, 4, 4), description="vae, conv: width of each level / width")
    res_blocks: int = Field(2, gt=0, description="vae, conv: residual blocks per level of the encoder")
    latent_channels: int = Field(4, gt=0, description="vae, conv: channels of the latent")
    slicing: bool = Field(True, description="vae: one frame at a time, in the memory of one")
    decode_tile: int | None = Field(
        512, gt=0, description="vae: larger frames are decoded in tiles of this side, pixels; null: whole"
    )
    luma: int = Field(10, gt=0, description="dct: coefficients kept of the luma patch")
    chroma: int = Field(3, gt=0, description="dct: coefficients kept of each chroma patch")

    @property
    def channels(self) -> int:
        """Channels of the latent."""
        return self.luma + 2 * self.chroma if self.kind == "dct" else self.latent_channels

    @model_validator(mode="after")
    def _vae_fits(self) -> Self:
        # The first level of a small autoencoder works on blocks of 2x2 pixels.
        factor = 2 ** (len(self.channel_mult) - (0 if self.kind == "conv" else 1))
        if self.kind != "dct" and self.patch != factor:
            raise ValueError(
                f"a {self.kind} of {len(self.channel_mult)} levels (codec.channel_mult) shrinks each side "
                f"{factor} times, but codec.patch is {self.patch}"
            )
        odd = [mult for mult in self.channel_mult if self.width * mult % _VAE_NORM_GROUPS]
        if self.kind == "vae" and odd:
            raise ValueError(
                f"a vae level of width {self.width * odd[0]} (codec.width * channel_mult) is no multiple "
                f"of {_VAE_NORM_GROUPS}"
            )
        # A quarter of a tile overlaps the next, in whole latent cells.
        if self.decode_tile is not None and self.decode_tile % (4 * self.patch):
            raise ValueError(
                f"codec.decode_tile must be a multiple of {4 * self.patch}, got {self.decode_tile}"
            )
        return self


class Architecture(Section):
    """A whole animator."""

    unet: UNetConfig = UNetConfig()
    context: ContextConfig | None = ContextConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    encoders: EncoderConfig = EncoderConfig()
    codec: CodecConfig = CodecConfig()
    student: StudentConfig | None = Field(
        None,
        description="what a distilled network was trained for; null: not distilled",
        exclude_if=lambda student: student is None,
    )
    motion_calibration: MotionCalibration | None = Field(
        None,
        description="how far clips move for what the network is given, by `animatic calibrate-motion`",
        exclude_if=lambda calibration: calibration is None,
    )
    frames: int = Field(16, gt=0, description="of a clip")
    height: int = Field(320, gt=0, description="of a clip, pixels")
    width: int = Field(512, gt=0, description="of a clip, pixels")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.unet.latent_channels != self.codec.channels:
            raise ValueError(
                f"unet.latent_channels is {self.unet.latent_channels}, the codec has {self.codec.channels}"
            )
        if self.unet.image_cross_attention != (self.context is not None):
            raise ValueError(
                "unet.image_cross_attention needs the query transformer (context), and the reverse"
            )
        if self.unet.guidance_embedding != (self.student is not None):
            raise ValueError("unet.guidance_embedding needs student, its ranges of scales, and the reverse")
        if self.motion_calibration and not self.unet.motion_condition:
            raise ValueError("motion_calibration is of a network with unet.motion_condition")
        if self.context and self.context.context_dim != self.unet.context_dim:
            raise ValueError("context.context_dim and unet.context_dim differ")
        if self.context and self.context.frames not in (None, self.frames):
            raise ValueError(f"context.frames is {self.context.frames} but the clip has {self.frames} frames")
        step = self.size_step
        if self.height % step or self.width % step:
            raise ValueError(f"height and width must be multiples of {step}, got {self.height}x{self.width}")
        return self

    @property
    def size_step(self) -> int:
        """Pixels that height and width are multiples of: a cell of the UNet's coarsest level."""
        return self.codec.patch * 2 ** (len(self.unet.channel_mult) - 1)

    @property
    def denoising_target(self) -> str:
        """Names what the network predicts, on which latents: prediction errors compare where it is equal.

        As "v:1f0c77a2": the parameterisation, and a digest of it, the noise schedule and the settings of the
        codec. The codec's weights do not count: add their digest where it has any.
        """
        codec = self.codec.model_dump(mode="json", exclude={"path", "digest", "slicing", "decode_tile"})
        digest = digest_of({"diffusion": self.diffusion.model_dump(mode="json"), "codec": codec})
        return f"{self.diffusion.parameterization}:{digest[:8]}"

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latent."""
        return self.height // self.codec.patch, self.width // self.codec.patch
