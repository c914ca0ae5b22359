"""Score the samples of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.config.validation import configure
from models.architecture import EncoderConfig
from orchestration.devices import actor_settings
from pipelines.score import ScoreConfig, ScoreReport
from pipelines.score import score as run


@dataclass(frozen=True)
class ScoreOptions:
    """``metrics``: their names; ``weights`` and ``model``: a CLIP model of open_clip, for those that need it;
    ``head``: of aesthetic ratings; ``detector``: of text, a folder; ``frames`` of each clip; ``batch``:
    samples at a time; ``workers``: Ray actors, one for each GPU or core if None, 0 for none; ``gpus``: as
    many actors with one each."""

    dataset: str
    weights: Path | None = None
    model: str = "ViT-H-14"
    metrics: tuple[str, ...] = ("clip",)
    head: Path | None = None
    detector: Path | None = None
    frames: int = 4
    batch: int = 64
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None


def prepare_score(options: ScoreOptions) -> ScoreConfig:
    """Resolve the configuration.

    Raises:
        AnimaticError: a value does not fit.
    """
    weights = options.weights
    values = {
        "dataset": options.dataset,
        "metrics": options.metrics,
        "encoders": EncoderConfig(kind="open_clip", model=options.model, path=str(weights))
        if weights
        else None,
        "head": str(options.head) if options.head else None,
        "detector": str(options.detector) if options.detector else None,
        "frames": options.frames,
        "batch": options.batch,
        **actor_settings(options.workers, options.gpus, options.address),
    }
    return configure(ScoreConfig, values=values)


def score(config: ScoreConfig, on_progress: Callable[[int, int], None]) -> ScoreReport:
    """Score what is missing; ``on_progress`` gets (samples done, samples).

    Raises:
        AnimaticError: the dataset or weights cannot be read.
    """
    return run(config, on_progress)
