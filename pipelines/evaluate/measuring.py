"""The Ray actor of the second phase: metrics read the stored clips of one chunk after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import AnimaticError
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.degenerate import is_black, is_frozen
from pipelines.evaluate.features import ChunkFeatures, Extractor, ExtractorFile, open_extractor
from pipelines.evaluate.metrics import REGISTRY, ClipMetric, FeatureMetric, Metric, NetworkMetric
from pipelines.evaluate.records import ClipRow, Values
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.systems import OpenSystem, System

if TYPE_CHECKING:
    from models.animator import Animator


@dataclass(frozen=True)
class Measuring:
    """What the actors need: names of metrics, extractors by name, and the system for metrics of networks.

    ``measurement`` identifies the set of metrics in the folder ``output``.
    """

    metrics: Sequence[str]
    extractors: Mapping[str, ExtractorFile]
    system: System
    seed: int
    output: Path
    measurement: str
    device: str


class ChunkMeasurer:
    """Holds the extractors, and the network if a metric reads it, and measures chunks."""

    def __init__(self, work: Measuring, open_system: Callable[[], OpenSystem] | None = None) -> None:
        """
        Args:
            open_system: where others use the same system; by default it is loaded for this object alone.
        """
        self._work = work
        self._open_system = open_system or (lambda: work.system.open(work.device))
        self._folder = EvaluationFolder(work.output)
        self._metrics = [REGISTRY[name] for name in work.metrics]
        self._extractor = cache(self._open_extractor)
        self._animator = cache(self._open_animator)

    def ready(self) -> None:
        """Load what the metrics need. Raises AnimaticError if one of them has changed or cannot be loaded."""
        if any(isinstance(metric, NetworkMetric) for metric in self._metrics):
            self._animator()

    def make(self, number: int) -> int:
        """Measure the stored clips of a chunk and store their rows; returns its number.

        Raises AnimaticError if a file of the chunk is missing or damaged, or if a figure is not finite.
        """
        start = time.monotonic()
        pairs = self._folder.read_chunk(number)
        features = {name: self._features(name, number, pairs) for name in self._needed()}
        values: list[Values] = [{} for _ in pairs]
        for metric in self._metrics:
            for known, added in zip(values, self._measure(metric, pairs, features), strict=True):
                known.update(added)
        rows = [_row(pair, known) for pair, known in zip(pairs, values, strict=True)]
        seconds = time.monotonic() - start
        self._folder.write_measured(self._work.measurement, number, {"rows": rows, "seconds": seconds})
        return number

    def _measure(
        self, metric: Metric, pairs: Sequence[ClipPair], features: Mapping[str, ChunkFeatures]
    ) -> list[Values]:
        """What a metric adds to the row of each clip."""
        if isinstance(metric, ClipMetric):
            return [metric.measure(pair) for pair in pairs]
        if isinstance(metric, NetworkMetric):
            rates = [self._rate(pair.clip) for pair in pairs]
            return metric.measure(pairs, rates, self._animator(), self._work.seed)
        if isinstance(metric, FeatureMetric):
            return [metric.measure(features[metric.extractor].clip(n)) for n in range(len(pairs))]
        return [{} for _ in pairs]

    def _rate(self, clip: RealClip) -> float:
        """The rate input of the network."""
        by_stride = self._work.system.record.get("fps_condition") == "stride"
        return float(clip.stride) if by_stride else clip.fps

    def _needed(self) -> list[str]:
        """Names of the extractors whose features the metrics read."""
        return sorted({metric.extractor for metric in self._metrics if metric.extractor is not None})

    def _features(self, name: str, number: int, pairs: Sequence[ClipPair]) -> ChunkFeatures:
        """The features of a chunk; stored ones are read, since all metrics of an extractor share them."""
        identity = self._work.extractors[name].identity
        if self._folder.has_features(identity, number):
            return self._folder.read_features(identity, number)
        extractor = self._extractor(name)
        features = ChunkFeatures(
            real=extractor.clips(np.stack([pair.real for pair in pairs])),
            generated=extractor.clips(np.stack([pair.generated for pair in pairs])),
            text=extractor.texts([pair.clip.caption for pair in pairs]),
        )
        _require_finite(name, features, pairs)
        self._folder.write_features(identity, number, features)
        return features

    def _open_extractor(self, name: str) -> Extractor:
        return open_extractor(self._work.extractors[name], self._work.device)

    def _open_animator(self) -> Animator:
        animator = self._open_system().animator
        if animator is None:
            raise AnimaticError(f"{self._work.system.record['name']} has no network that can be measured")
        return animator


def _require_finite(extractor: str, features: ChunkFeatures, pairs: Sequence[ClipPair]) -> None:
    """Raise AnimaticError for the first clip with features that are not finite."""
    for number, pair in enumerate(pairs):
        of_clip = features.clip(number)
        if not all(np.isfinite(each).all() for each in (of_clip.real, of_clip.generated)):
            raise AnimaticError(
                f"clip {pair.clip.key}: extractor {extractor} makes features of it that are not finite; "
                "check that its file is the published one"
            )


def _row(pair: ClipPair, values: Values) -> ClipRow:
    unusable = sorted(name for name, value in values.items() if value is not None and not np.isfinite(value))
    if unusable:
        raise AnimaticError(f"clip {pair.clip.key}: {unusable[0]} is not finite; a report has finite figures")
    return {
        "key": pair.clip.key,
        "caption": pair.clip.caption,
        "source": pair.clip.source,
        "fps": pair.clip.fps,
        "frozen": is_frozen(pair.generated),
        "black": is_black(pair),
        "metrics": values,
    }
