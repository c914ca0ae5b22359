"""The prior's model card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from models.architecture import Architecture, CodecConfig
from models.bundle import Bundle
from models.encoders.build import build_codec
from models.encoders.conv_codec import read_weights
from orchestration.demo import curves, films, footage, photographs
from orchestration.demo.collection import HELD_OUT_SEED
from orchestration.demo.figures import accuracy
from orchestration.demo.prior.clips import SHARES, Kind, square
from orchestration.demo.prior.codec import psnr
from orchestration.demo.prior.stage0 import SEED, PriorTraining, TrainedPrior
from training.config import load

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.evaluate import EvaluationReport

CARD = "prior.md"
COMMAND = "make prior"
_TABLE_ROWS = 12
_SCENES = 40  # held-out, on which the codec is measured


@dataclass(frozen=True)
class Abilities:
    """What codec and network can do, measured on what they were not trained on.

    Attributes:
        report: of clips generated from held-out captions.
        reconstruction: kind of picture → PSNR after encoding and decoding, mean over frames, in dB.
    """

    report: EvaluationReport
    reconstruction: dict[Kind, float]

    @classmethod
    def of(cls, report: EvaluationReport, codec: Path, model: Architecture) -> Self:
        """Measure the codec in file ``codec``."""
        network = build_codec(model.codec.model_copy(update={"path": str(codec)}))
        found = {kind: psnr(network, frames) for kind, frames in held_out_frames(model.height).items()}
        return cls(report, {kind: float(np.mean(values)) for kind, values in found.items()})


def held_out_frames(size: int) -> dict[Kind, np.ndarray]:
    """First, middle and last frame of every held-out clip, by kind: (n size size 3) uint8."""
    scenes = (footage.draw_scene(HELD_OUT_SEED, index) for index in range(_SCENES))
    clips: dict[Kind, list[np.ndarray]] = {
        "rendered": [footage.render(scene) for scene in scenes],
        "photograph": [photographs.cut(window) for window in photographs.HELD_OUT],
        "film": [films.read_cut(window) for window in films.HELD_OUT],
    }
    return {
        kind: np.stack([square(frame, size) for clip in found for frame in clip[:: len(clip) // 2]])
        for kind, found in clips.items()
    }


def card(
    bundle: Bundle,
    trained: TrainedPrior,
    losses: dict[int, float],
    abilities: Abilities,
    training: PriorTraining,
    curve: str,
) -> str:
    """The model card, in Markdown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    steps = list(losses)
    smooth = dict(zip(steps, curves.smooth(list(losses.values())), strict=True))
    listed = sorted({steps[n * (len(steps) - 1) // (_TABLE_ROWS - 1)] for n in range(_TABLE_ROWS)})
    environment = Environment(
        loader=PackageLoader("orchestration.demo.prior", "."),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    report = abilities.report
    return environment.get_template(CARD).render(
        info=bundle.info,
        run_id=bundle.id,
        config=load(trained.run / "config.yaml"),
        command=" ".join([COMMAND, *([f'SET="{" ".join(training.sets)}"'] if training.sets else [])]),
        millions=_millions(bundle.state()),
        codec_millions=_millions(read_weights(_with_path(bundle, trained.codec))[0]),
        footage=footage,
        photographs=photographs,
        training=training,
        seed=SEED,
        shares=SHARES,
        curve=curve,
        losses=[(step, smooth[step]) for step in listed],
        reconstruction=abilities.reconstruction,
        sampling=report["system"]["sampling"],
        detector=report["metrics"]["direction"]["details"]["detector"],
        direction=accuracy(report),
        on_real=accuracy(report, real=True),
        first_frame=report["metrics"]["first_frame_psnr"]["value"],
    )


def _with_path(bundle: Bundle, codec: Path) -> CodecConfig:
    return bundle.info.architecture.codec.model_copy(update={"path": str(codec)})


def _millions(tensors: Mapping[str, Tensor]) -> float:
    return sum(value.numel() for value in tensors.values()) / 1e6
