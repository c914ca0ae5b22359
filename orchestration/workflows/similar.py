"""Find the clips of a dataset that look alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.config.validation import configure
from models.architecture import EncoderConfig
from orchestration.devices import actor_settings
from pipelines.similar import SimilarConfig, SimilarReport, find_similar


@dataclass(frozen=True)
class SimilarOptions:
    """``weights`` and ``model``: a CLIP model of open_clip; ``threshold``: least cosine of near-duplicates;
    ``frames`` of each clip; ``batch``: clips at a time; ``workers``: Ray actors, one for each GPU or core if
    None, 0 for none; ``gpus``: as many actors with one each."""

    dataset: str
    weights: Path
    model: str = "ViT-H-14"
    threshold: float = 0.95
    frames: int = 4
    batch: int = 16
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None


def prepare_similar(options: SimilarOptions) -> SimilarConfig:
    """Resolve the configuration.

    Raises:
        AnimaticError: a value does not fit.
    """
    values = {
        "dataset": options.dataset,
        "encoders": EncoderConfig(kind="open_clip", model=options.model, path=str(options.weights)),
        "threshold": options.threshold,
        "frames": options.frames,
        "batch": options.batch,
        **actor_settings(options.workers, options.gpus, options.address),
    }
    return configure(SimilarConfig, values=values)


def similar(config: SimilarConfig, on_progress: Callable[[int, int], None]) -> SimilarReport:
    """Find what was not found before; ``on_progress`` gets (samples embedded plus searched, twice the
    samples).

    Raises:
        AnimaticError: the dataset or the weights cannot be read.
    """
    return find_similar(config, on_progress)
