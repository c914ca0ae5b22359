"""The published checkpoints that can be imported: their architecture and what their files hold."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.architecture import Architecture, DiffusionConfig, UNetConfig
from models.checkpoints import layout
from models.checkpoints.layout import Layout, published_layout

EPSILON = DiffusionConfig(parameterization="eps", zero_terminal_snr=False)


@dataclass(frozen=True)
class Variant:
    """One published checkpoint.

    Attributes:
        stage: what its bundle is to the stages: 3 a finished animator, 0 a base without query transformer.
        preset: whose sampling settings suit it.
        complete: every part is in the file. The others' files must hold the network; of the rest they may
            hold any part.
    """

    name: str
    title: str
    architecture: Architecture
    stage: int
    preset: str
    complete: bool = True

    def layout(self) -> dict[str, Layout]:
        """Part -> public key -> shape."""
        return published_layout(self.architecture)

    def required(self) -> Layout:
        """The tensors that its file must hold."""
        parts = self.layout()
        wanted = layout.PARTS if self.complete else (layout.NETWORK,)
        return {key: shape for part in wanted if part in parts for key, shape in parts[part].items()}


def _animator(height: int, width: int, unet: UNetConfig, diffusion: DiffusionConfig) -> Architecture:
    return Architecture(unet=unet, diffusion=diffusion, height=height, width=width)


def _published() -> tuple[Variant, ...]:
    plain = UNetConfig(image_cross_attention=False)
    at_512 = _animator(
        320, 512, UNetConfig(detail_guidance=True, default_fps=24), DiffusionConfig(base_scale=0.7)
    )
    return (
        Variant(
            "dynamicrafter-256",
            "DynamiCrafter 256x256",
            _animator(
                256, 256, UNetConfig(detail_guidance=True, learnable_gate=True, default_fps=3), EPSILON
            ),
            stage=3,
            preset="256",
        ),
        Variant(
            "dynamicrafter-512",
            "DynamiCrafter 320x512",
            at_512,
            stage=3,
            preset="512",
        ),
        Variant(
            "dynamicrafter-1024",
            "DynamiCrafter 576x1024",
            _animator(
                576, 1024, UNetConfig(detail_guidance=True, default_fps=10), DiffusionConfig(base_scale=0.3)
            ),
            stage=3,
            preset="1024",
        ),
        Variant(
            "dynamicrafter-512-interp",
            "DynamiCrafter 320x512, between two frames",
            at_512,
            stage=3,
            preset="512",
        ),
        Variant(
            "videocrafter2",
            "VideoCrafter2 text-to-video, 320x512",
            Architecture(unet=plain, context=None, diffusion=EPSILON),
            stage=0,
            preset="512",
            complete=False,
        ),
        Variant(
            "stable-diffusion-2.1",
            "Stable Diffusion 2.1 base, 512x512",
            Architecture(
                unet=plain.model_copy(update={"temporal": False, "fps_condition": False}),
                context=None,
                diffusion=EPSILON,
                frames=1,
                height=512,
                width=512,
            ),
            stage=0,
            preset="512",
            complete=False,
        ),
    )


VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in _published()}
