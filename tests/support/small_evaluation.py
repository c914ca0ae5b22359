"""An evaluation of a tiny bundle on rendered clips, also in a process or on actors that are killed."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.animator import Animator
from models.architecture import (
    Architecture,
    CodecConfig,
    ContextConfig,
    EncoderConfig,
    TowerConfig,
    UNetConfig,
)
from models.bundle import Bundle, BundleOrigin, open_bundle, write_bundle
from models.diffusion.settings import SamplingSettings
from models.network.parameter_names import public_state
from orchestration.demo.footage import FPS, draw_scene, encode, render
from pipelines.evaluate import EvaluateConfig, evaluate
from pipelines.evaluate.clips import Pixels, RealClip, SampleShape
from pipelines.evaluate.records import SystemRecord
from pipelines.evaluate.systems import OpenSystem, System

ARCHITECTURE = Architecture(
    unet=UNetConfig(
        latent_channels=6,
        model_channels=32,
        channel_mult=(1,),
        num_res_blocks=1,
        attention_resolutions=(1,),
        num_head_channels=32,
        context_dim=32,
        norm_groups=8,
        detail_guidance=True,
    ),
    context=ContextConfig(
        dim=32, depth=1, heads=1, dim_head=32, queries=4, frames=4, image_dim=32, context_dim=32
    ),
    encoders=EncoderConfig(
        kind="random",
        text=TowerConfig(width=32, layers=1, heads=1),
        image=TowerConfig(width=32, layers=1, heads=1, image_size=32),
    ),
    codec=CodecConfig(kind="dct", luma=4, chroma=1),
    frames=4,
    height=32,
    width=32,
)


def make_bundle(folder: Path, spoil: bool = False, seed: int = 0) -> Bundle:
    """A bundle whose network is drawn at random; ``spoil``: its weights are not numbers."""
    torch.manual_seed(seed)
    animator = Animator(ARCHITECTURE)
    with torch.no_grad():
        for parameter in animator.network.parameters():
            parameter.normal_(0, 0.02)  # a fresh network outputs zero
            if spoil:
                parameter.fill_(torch.nan)
    write_bundle(
        folder,
        public_state(animator.network),
        BundleOrigin(
            architecture=ARCHITECTURE,
            stage=3,
            preset="tiny",
            config_hash="0" * 64,
            dataset_digest=None,
            parent=None,
        ),
        model_card="A network for tests.",
    )
    return open_bundle(folder)


def make_clips(folder: Path, count: int) -> Path:
    """A folder of clips with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        scene = draw_scene(3, index)
        encode(render(scene, size=64), folder / f"scene-{index}.mp4", FPS)
        (folder / f"scene-{index}.txt").write_text(scene.caption)
    return folder


def configure(clips: Path, output: Path, **changes: object) -> EvaluateConfig:
    """Two steps of sampling, two clips a chunk."""
    config = EvaluateConfig(
        data=str(clips), output=output, stride=3, chunk=2, sampling=SamplingSettings(steps=2)
    )
    return config.model_copy(update=changes)


@dataclass(frozen=True)
class KilledOnce:
    """A system whose process is killed by SIGKILL when it first generates the clip ``key``."""

    system: System
    key: str
    marker: Path

    @property
    def record(self) -> SystemRecord:
        return self.system.record

    def shape(self, stride: int) -> SampleShape:
        return self.system.shape(stride)

    def check(self, keys: Sequence[str]) -> None:
        self.system.check(keys)

    def open(self, device: str) -> "OpenKilledOnce":
        return OpenKilledOnce(self.system.open(device), self.key, self.marker)


@dataclass(frozen=True)
class OpenKilledOnce:
    system: OpenSystem
    key: str
    marker: Path

    @property
    def animator(self) -> Animator | None:
        return self.system.animator

    def generate(self, clips: Sequence[RealClip], seed: int) -> Pixels:
        if any(clip.key == self.key for clip in clips) and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.system.generate(clips, seed)


@dataclass(frozen=True)
class Killing:
    """A progress that kills its own process once ``at`` clips are done."""

    at: int

    def __call__(self, done: int, total: int) -> None:
        if done >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main(bundle: Path, clips: Path, output: Path, phase: str, at: int, workers: int) -> None:
    """Evaluate, and be killed in the phase ``generate`` or ``measure`` when ``at`` clips are done."""
    config = configure(clips, output, workers=workers)
    ignored = Killing(sys.maxsize)
    evaluate(
        open_bundle(bundle),
        config,
        Killing(at) if phase == "generate" else ignored,
        Killing(at) if phase == "measure" else ignored,
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*map(Path, given[:3]), given[3], int(given[4]), int(given[5]))
