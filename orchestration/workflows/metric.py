"""Distances between features that other programs extracted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.evaluate.statistics.frechet import frechet_distance
from pipelines.evaluate.statistics.kernel import kernel_distance
from pipelines.evaluate.statistics.moments import Covariance, Moments
from pipelines.evaluate.statistics.table import blocks, open_table


@dataclass(frozen=True)
class FeatureDistance:
    """A distance between two tables of features.

    ``low`` and ``high``: its 95 % interval; None for a Fréchet distance, which has no honest one, and where
    there are too few rows. ``n_first`` and ``n_second``: rows of the tables. ``covariance``: what the
    scatter was divided by, None for a kernel distance.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    n_first: int
    n_second: int
    dimension: int
    covariance: Covariance | None


def frechet(first: Path, second: Path, covariance: Covariance = "n") -> FeatureDistance:
    """The Fréchet distance of two .npy files, see :func:`frechet_distance`.

    Raises:
        AnimaticError: a file is no table of features, has fewer than two rows, other dimensions than the
            other one, or a row that is not finite.
    """
    one, two = (Moments.of(blocks(open_table(path)), str(path)) for path in (first, second))
    value = frechet_distance(one, two, covariance)
    return FeatureDistance("frechet", value, None, None, one.count, two.count, len(one.mean), covariance)


def kernel(first: Path, second: Path) -> FeatureDistance:
    """The kernel distance of two .npy files, see :func:`kernel_distance`; errors as of :func:`frechet`."""
    tables = open_table(first), open_table(second)
    found = kernel_distance(*tables, names=(str(first), str(second)))
    value, low, high = found.interval
    counts = len(tables[0]), len(tables[1])
    return FeatureDistance("kernel", value, low, high, *counts, tables[0].shape[1], None)
