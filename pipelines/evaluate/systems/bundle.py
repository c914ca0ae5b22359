"""A bundle as the system that generates clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from core.files import content_digests
from models.bundle import Bundle, open_bundle, with_paths
from models.diffusion.settings import SamplingSettings
from pipelines.evaluate.clips import Pixels, RealClip, SampleShape
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.records import SystemRecord
from pipelines.evaluate.systems.system import noise_seed

if TYPE_CHECKING:
    from models.animator import Animator

# The settings that a report records; the noise has the evaluation's seed.
RECORDED_SAMPLING = IdentityFormat(
    {
        "": (
            "steps",
            "eta",
            "text_guidance",
            "image_guidance",
            "guidance_rescale",
            "spacing",
            "fps",
            "precision",
        )
    },
    excluded={"seed"},
)


@dataclass(frozen=True)
class BundleSystem:
    """A verified bundle with its settings."""

    folder: Path
    record: SystemRecord
    sample_shape: SampleShape
    sampling: SamplingSettings
    codec: str | None = None
    encoders: str | None = None
    base: Path | None = None

    def shape(self, stride: int) -> SampleShape:
        """The frames and pixels of the network. Raises AnimaticError for an image model."""
        if self.sample_shape.frames < 2:
            raise AnimaticError(
                f"bundle {self.folder} is an image model (stage {self.record['stage']}): it cannot animate"
            )
        return SampleShape(
            self.sample_shape.frames, self.sample_shape.height, self.sample_shape.width, stride
        )

    def check(self, keys: Sequence[str]) -> None:
        """A network animates any picture."""

    def open(self, device: str) -> OpenBundle:
        """Load the network. Raises AnimaticError if the bundle has changed since it was described."""
        bundle = open_bundle(self.folder, verify=False).with_base(self.base)
        if bundle.id != self.record["digest"]:
            raise AnimaticError(f"bundle {self.folder} has changed since the evaluation began: rerun it")
        animator = bundle.animator(self.codec, self.encoders).to(device)
        return OpenBundle(animator, self.sampling, self.record["fps_condition"] == "stride")


@dataclass(frozen=True)
class OpenBundle:
    """A loaded bundle; ``by_stride`` is whether its network gets the stride in place of the frame rate."""

    animator: Animator
    sampling: SamplingSettings
    by_stride: bool

    def generate(self, clips: Sequence[RealClip], seed: int) -> Pixels:
        """Clips uint8 [n t h w 3], each from the first frame and the caption of a real one."""
        generated: dict[int, Pixels] = {}
        # All clips of one call have the same frame rate.
        rates = [self._rate(clip) for clip in clips]
        for rate in sorted(set(rates)):
            members = [n for n, each in enumerate(rates) if each == rate]
            generated |= zip(members, self._animate([clips[n] for n in members], rate, seed), strict=True)
        return np.stack([generated[n] for n in range(len(clips))])

    def _rate(self, clip: RealClip) -> float:
        return self.sampling.fps or (float(clip.stride) if self.by_stride else clip.fps)

    def _animate(self, clips: Sequence[RealClip], rate: float, seed: int) -> Pixels:
        import torch

        from models.animate import animate
        from models.pixels import to_signed, to_uint8

        images = torch.from_numpy(np.stack([clip.pixels[0] for clip in clips])).permute(0, 3, 1, 2)
        frames = animate(
            self.animator,
            to_signed(images),
            [clip.caption for clip in clips],
            self.sampling.model_copy(update={"fps": rate}),
            seeds=[noise_seed(seed, clip.key) for clip in clips],
        )
        return to_uint8(frames).permute(0, 1, 3, 4, 2).numpy()


def bundle_system(
    bundle: Bundle, config: EvaluateConfig, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> BundleSystem:
    """Describe a bundle as the evaluation's configuration uses it.

    ``on_progress`` gets (megabytes read, megabytes) of the frozen parts, which are identified by content.
    """
    config = config.absolute()
    architecture, info = bundle.info.architecture, bundle.info
    record: SystemRecord = {
        "kind": "bundle",
        "name": f"{info.preset} stage {info.stage}",
        "digest": bundle.id,
        "bundle": bundle.id,
        "stage": info.stage,
        "preset": info.preset,
        "config": info.config_hash,
        "sampling": RECORDED_SAMPLING.values(config.sampling),
        "fps_condition": config.fps_condition,
        "chunk": config.chunk,
        "predicts": _predicts(bundle, config.codec),
    }
    parts = {name: Path(path) for name, path in config.frozen_parts.items() if path is not None}
    if parts:
        record["frozen_parts"] = content_digests(parts, on_progress)
    frames = architecture.frames if architecture.unet.temporal else 1
    return BundleSystem(
        folder=bundle.folder.resolve(),
        record=record,
        sample_shape=SampleShape(frames, architecture.height, architecture.width),
        sampling=config.sampling,
        codec=config.codec,
        encoders=config.encoders,
        base=bundle.given_base and bundle.given_base.resolve(),
    )


def _predicts(bundle: Bundle, codec: str | None) -> str:
    """``denoising_target``, with a digest of the weights that make the latents where the codec has any.

    Raises AnimaticError where the autoencoder is missing.
    """
    architecture = with_paths(bundle.complete_architecture(), codec, None)
    target = architecture.denoising_target
    if architecture.codec.kind == "dct":
        return target
    from models.encoders.build import build_codec
    from models.encoders.digests import codec_digest

    return f"{target}:{codec_digest(build_codec(architecture.codec))[:8]}"
