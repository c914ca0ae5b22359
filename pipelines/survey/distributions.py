"""How the values of each column are distributed, and what a limit on one of them would keep."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset import Dataset
from pipelines.loader import number_columns, numbers

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_LIMITS = 64
_TAIL = 0.005  # of the values at either end, between which limits are spread evenly
# Without a use as a limit: where a frame was drawn in the clip.
_LEFT_OUT = ("condition_frame",)

Indices = npt.NDArray[np.int64]
Values = npt.NDArray[Any]  # float32 or float64


@dataclass(frozen=True)
class Kept:
    """Clips, seconds of video, and rows of the source with a clip, that are kept."""

    clips: int
    seconds: float
    rows: int


@dataclass(frozen=True)
class Distribution:
    """The values of one column.

    Attributes:
        name: of the column.
        clips: that have a value; others pass no limit.
        mean: of the values.
        quantiles: the values at QUANTILES, the smallest first.
        limits: ascending.
        at_least: what each limit keeps in ``data.selection.min``.
        at_most: what each limit keeps in ``data.selection.max``.
    """

    name: str
    clips: int
    mean: float
    quantiles: list[float]
    limits: list[float]
    at_least: list[Kept]
    at_most: list[Kept]


@dataclass(frozen=True)
class Spans:
    """Of each clip its length in seconds, float64 (n), and its row, numbered from 0, int64 (n)."""

    seconds: npt.NDArray[np.float64]
    rows: Indices

    @classmethod
    def of(cls, dataset: Dataset) -> "Spans":
        """Those of a dataset: neighbours with one id are of one row."""
        ids, seconds = dataset.samples["source_id"], dataset.samples["duration"]
        if not len(ids):
            return cls(np.zeros(0), np.zeros(0, np.int64))
        begins = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)).to_numpy()
        rows = np.concatenate([[0], np.cumsum(begins, dtype=np.int64)])
        return cls(np.asarray(seconds.to_numpy(), np.float64), rows)

    @property
    def whole(self) -> Kept:
        """All clips."""
        return self.kept(np.ones(len(self.seconds), np.bool_))

    def kept(self, chosen: npt.NDArray[np.bool_]) -> Kept:
        """What a choice of clips keeps, bool (n)."""
        return Kept(int(chosen.sum()), float(self.seconds[chosen].sum()), len(np.unique(self.rows[chosen])))


def distributions(dataset: Dataset) -> list[Distribution]:
    """Of every column of numbers, of samples.parquet and beside the dataset, that has any value.

    One column is in memory at a time. Raises AnimaticError if one is damaged.
    """
    spans = Spans.of(dataset)
    names = [name for name in number_columns(dataset) if name not in _LEFT_OUT]
    found = (_distribution(name, numbers(dataset, name), spans) for name in names)
    return [each for each in found if each is not None]


def _distribution(name: str, column: pa.ChunkedArray, spans: Spans) -> Distribution | None:
    is_float = pa.types.is_floating(column.type)
    # As the selection compares them: 32-bit numbers as such, others in 64 bits.
    kind = np.float32 if column.type == pa.float32() else np.float64
    values: Values = np.asarray((column if is_float else column.cast(pa.float64())).to_numpy(), kind)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    values = values[known]
    limits = _limits(values)
    rows, seconds = spans.rows[known], spans.seconds[known]
    # With i limits up to a value, it passes the first i as minima; with j below it, all but j as maxima.
    up_to = np.searchsorted(limits, values, side="right")
    not_below = len(limits) - np.searchsorted(limits, values, side="left")
    return Distribution(
        name=name,
        clips=len(values),
        mean=float(values.mean(dtype=np.float64)),
        quantiles=[float(value) for value in np.quantile(values, QUANTILES, method="lower")],
        limits=[float(str(limit)) for limit in limits],
        at_least=_kept(up_to, seconds, rows, len(limits)),
        at_most=_kept(not_below, seconds, rows, len(limits))[::-1],
    )


def _limits(values: Values) -> Values:
    """The values themselves if they are few, else round numbers between the ends of the distribution."""
    sample = np.unique(values[:: max(1, len(values) // 100_000)])
    if len(sample) <= _LIMITS and (distinct := np.unique(values)).size <= _LIMITS:
        return distinct
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL))
    digits = max(0, 2 - int(np.floor(np.log10(max(high - low, 1e-30)))))
    return np.unique(np.linspace(low, high, _LIMITS).round(digits).astype(values.dtype))


def _kept(passed: Indices, seconds: npt.NDArray[np.float64], rows: Indices, limits: int) -> list[Kept]:
    """What each of the limits keeps; ``passed``: how many of them, from the first, each value passes."""
    most = np.zeros(int(rows.max()) + 1, np.int64)
    np.maximum.at(most, rows, passed)
    counts = (np.bincount(passed, minlength=limits + 1), np.bincount(passed, seconds, minlength=limits + 1))
    clips, durations = (np.cumsum(each[::-1])[::-1][1:] for each in counts)
    whole = np.cumsum(np.bincount(most, minlength=limits + 1)[::-1])[::-1][1:]
    kept = zip(clips.tolist(), durations.tolist(), whole.tolist(), strict=True)
    return [Kept(int(clip), float(duration), int(row)) for clip, duration, row in kept]
