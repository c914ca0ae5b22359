"""Metrics that are a distance between the features of all real and of all generated clips."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from core.errors import AnimaticError
from pipelines.evaluate.features.extractor import ChunkFeatures, Vectors
from pipelines.evaluate.metrics.metric import Reduced, SetMetric
from pipelines.evaluate.statistics.frechet import frechet_distance
from pipelines.evaluate.statistics.kernel import DEGREE, OFFSET, blocks_of_sources, kernel_distance
from pipelines.evaluate.statistics.moments import Covariance, Moments

COVARIANCE: Covariance = "n"

Chunks = Callable[[], Iterator[ChunkFeatures]]


class FrechetMetric(SetMetric):
    """The Fréchet distance of one vector for each clip: :func:`frechet_distance`, which has no interval."""

    unit = "1"
    better = "lower"

    def details(self) -> dict[str, JsonValue]:
        """How the covariance is normalised."""
        return {"covariance": COVARIANCE}

    def reduce(self, chunks: Chunks, sources: Sequence[str]) -> Reduced:
        """Two passes over the features; memory does not grow with the number of clips."""
        _check_clips(self.name, len(sources))
        real = Moments.of((_vectors(chunk.real, self) for chunk in chunks()), "real clips")
        generated = Moments.of((_vectors(chunk.generated, self) for chunk in chunks()), "generated clips")
        value = frechet_distance(real, generated, COVARIANCE)
        return Reduced(value, None, None, {"dimension": len(real.mean)})


class KernelMetric(SetMetric):
    """The kernel distance of one vector for each clip: :func:`kernel_distance`.

    Its interval leaves out blocks of source videos, real and generated clips together.
    """

    unit = "1"
    better = "lower"

    def details(self) -> dict[str, JsonValue]:
        """The kernel."""
        return {"kernel": f"(x·y / d + {OFFSET:g})^{DEGREE}", "estimate": "unbiased, all clips, no subsets"}

    def reduce(self, chunks: Chunks, sources: Sequence[str]) -> Reduced:
        """The features go to a temporary file; memory does not grow with the number of clips."""
        _check_clips(self.name, len(sources))
        with _stored(chunks, len(sources), self) as (real, generated):
            names = ("real clips", "generated clips")
            found = kernel_distance(real, generated, blocks_of_sources(sources), names)
        value, low, high = found.interval
        details: dict[str, JsonValue] = {
            "dimension": real.shape[1],
            "interval": "jackknife",
            "blocks": found.blocks,
            "sources": len(set(sources)),
            # For comparisons: two reports of the same clips leave out the same blocks.
            "left_out": list(found.left_out),
        }
        return Reduced(value, low, high, details)


def _check_clips(name: str, clips: int) -> None:
    """Raise AnimaticError for fewer clips than a distance of sets needs."""
    if clips < 2:
        raise AnimaticError(f"metric {name} needs at least 2 clips, not {clips}: add clips, or leave it out")


@contextmanager
def _stored(chunks: Chunks, count: int, metric: SetMetric) -> Iterator[tuple[Vectors, Vectors]]:
    """All real and all generated vectors, each [n d], memory-mapped in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        dimension = _vectors(next(chunks()).real, metric).shape[1]
        real, generated = (
            np.lib.format.open_memmap(
                Path(folder) / f"{side}.npy", mode="w+", dtype=np.float32, shape=(count, dimension)
            )
            for side in ("real", "generated")
        )
        start = 0
        for chunk in chunks():
            end = start + len(chunk.real)
            real[start:end] = _vectors(chunk.real, metric)
            generated[start:end] = _vectors(chunk.generated, metric)
            start = end
        yield real, generated


def _vectors(features: Vectors, metric: SetMetric) -> Vectors:
    """One vector for each clip. Raises AnimaticError for features of frames."""
    if features.ndim != 2:
        raise AnimaticError(
            f"metric {metric.name} compares one vector for each clip, not features of shape {features.shape}"
        )
    return features
