"""The published checkpoints that can be imported: their architecture and what their files contain."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.architecture import Architecture, DiffusionConfig, UNetConfig
from models.checkpoints import layout
from models.checkpoints.layout import Layout, published_layout
from models.diffusion.settings import SamplingSettings

EPSILON = DiffusionConfig(parameterization="eps", zero_terminal_snr=False)
_EPSILON_SAMPLING = SamplingSettings(steps=50, eta=1.0, text_guidance=7.5, spacing="uniform")
# The last step is without signal: sampling starts from it, and guidance is rescaled (arXiv:2305.08891).
_ZERO_SNR_SAMPLING = SamplingSettings(
    steps=50, eta=1.0, text_guidance=7.5, guidance_rescale=0.7, spacing="uniform_trailing"
)


@dataclass(frozen=True)
class Variant:
    """One published checkpoint.

    Attributes:
        stage: what its bundle is to the stages: 3 a finished animator, 0 a base without query transformer.
        preset: the preset of its size.
        sampling: settings that suit it, those of the published inference scripts.
        complete: every part is in the file. The files of other variants must contain the network and may
            contain any other part.
    """

    name: str
    title: str
    architecture: Architecture
    stage: int
    preset: str
    sampling: SamplingSettings
    complete: bool = True

    def layout(self) -> dict[str, Layout]:
        """Part -> public key -> shape."""
        return published_layout(self.architecture)

    def required(self) -> Layout:
        """The tensors that its file must contain."""
        parts = self.layout()
        wanted = layout.PARTS if self.complete else (layout.NETWORK,)
        return {key: shape for part in wanted if part in parts for key, shape in parts[part].items()}


def _dynamicrafter(
    name: str,
    height: int,
    width: int,
    *,
    fps: int,
    diffusion: DiffusionConfig,
    sampling: SamplingSettings = _ZERO_SNR_SAMPLING,
    gate: bool = False,
    use: str = "",
) -> Variant:
    unet = UNetConfig(detail_guidance=True, learnable_gate=gate, default_fps=fps)
    return Variant(
        name,
        f"DynamiCrafter {height}x{width}{use}",
        Architecture(unet=unet, diffusion=diffusion, height=height, width=width),
        stage=3,
        preset=str(width),
        sampling=sampling.model_copy(update={"fps": fps}),
    )


def _base(name: str, title: str, architecture: Architecture) -> Variant:
    sampling = _ZERO_SNR_SAMPLING.model_copy(update={"fps": 24})
    return Variant(name, title, architecture, stage=0, preset="512", sampling=sampling, complete=False)


def _animators() -> tuple[Variant, ...]:
    at_512, at_1024 = DiffusionConfig(base_scale=0.7), DiffusionConfig(base_scale=0.3)
    return (
        _dynamicrafter(
            "dynamicrafter-256", 256, 256, fps=3, diffusion=EPSILON, sampling=_EPSILON_SAMPLING, gate=True
        ),
        _dynamicrafter("dynamicrafter-512", 320, 512, fps=24, diffusion=at_512),
        _dynamicrafter("dynamicrafter-1024", 576, 1024, fps=10, diffusion=at_1024),
        _dynamicrafter(
            "dynamicrafter-512-interp", 320, 512, fps=24, diffusion=at_512, use=", between two frames"
        ),
    )


def _bases() -> tuple[Variant, ...]:
    video = UNetConfig(image_cross_attention=False)
    image = video.model_copy(update={"temporal": False, "fps_condition": False})
    return (
        _base(
            "videocrafter2",
            "VideoCrafter2 text-to-video, 320x512",
            Architecture(unet=video, context=None, diffusion=EPSILON),
        ),
        _base(
            "stable-diffusion-2.1",
            "Stable Diffusion 2.1 base, 512x512",
            Architecture(unet=image, context=None, diffusion=EPSILON, frames=1, height=512, width=512),
        ),
    )


VARIANTS: Mapping[str, Variant] = {variant.name: variant for variant in (*_animators(), *_bases())}
