"""The kernel distance between two sets of feature vectors, as KID and KVD use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.evaluate.statistics.intervals import Interval, StudentEstimate, jackknife
from pipelines.evaluate.statistics.moments import Floats, finite_rows

Rows = npt.NDArray[np.floating]

DEGREE, OFFSET = 3, 1.0
MAX_BLOCKS = 50
_ROWS = 1024  # of both sides at once: kernel values of 8 MB


@dataclass(frozen=True)
class KernelDistance:
    """MMD² with the 95 % interval of its block jackknife; ``blocks`` were left out, one at a time.

    ``left_out``: of paired rows, the estimates without each block; empty if one of them has none. From those
    of two systems on the same real clips follows the interval of their difference.
    """

    interval: Interval
    blocks: int
    left_out: tuple[float, ...] = ()

    @property
    def value(self) -> float:
        """The estimate of MMD²."""
        return self.interval.value


def kernel_distance(
    first: Rows, second: Rows, blocks: npt.NDArray[np.intp] | None = None, names: tuple[str, str] = ("A", "B")
) -> KernelDistance:
    """The unbiased estimate of MMD² (Gretton et al. 2012, JMLR 13:723, equation 3) with the polynomial kernel
    k(x, y) = (x·y / d + 1)³.

    KVD as the code of LVDM computes it: degree 3, γ = 1/d, c = 1, all rows and no subsets (KID averages
    subsets of 1000). Its expectation is 0 for sets of one distribution whatever N is, so an estimate may be
    slightly negative. Computed in float64, in pieces of 1024 rows: memory does not grow with N.

    Args:
        first, second: [n d] and [m d], memory-mapped or not.
        blocks: of row i of both, which belong together (the real and the generated clip): a number from 0 on.
            None: rows are independent; both sides are cut into equal runs, and their variances added.
        names: of both sides, for errors.

    The interval is the block jackknife's with Student's quantile. For sets of one distribution, where MMD² is
    degenerate, it is wider than it need be. None with fewer than two blocks or if leaving out a block leaves
    fewer than two rows.

    Raises AnimaticError for fewer than two rows, dimensions that differ, and rows that are not finite.
    """
    _check_shapes(first, second)
    of_first = _runs(len(first)) if blocks is None else blocks
    of_second = _runs(len(second)) if blocks is None else blocks
    sums = _Sums.of(first, second, of_first, of_second, names)
    value = sums.estimate()
    if blocks is not None:
        left_out = [sums.estimate(block, block) for block in range(len(sums.count_first))]
        known = tuple(left_out) if np.isfinite(left_out).all() else ()
        return KernelDistance(_combined(value, [_jackknifed(left_out, value)]), len(left_out), known)
    estimates = [
        _jackknifed([sums.estimate(block, None) for block in range(len(sums.count_first))], value),
        _jackknifed([sums.estimate(None, block) for block in range(len(sums.count_second))], value),
    ]
    return KernelDistance(_combined(value, estimates), min(len(sums.count_first), len(sums.count_second)))


def blocks_of_sources(sources: Sequence[str]) -> npt.NDArray[np.intp]:
    """For each clip, the number of its block: at most ``MAX_BLOCKS`` of equal size, as far as the clips of
    one source video allow, which share a block."""
    counts: dict[str, int] = {}
    for source in sources:
        counts[source] = counts.get(source, 0) + 1
    sizes = [0] * min(MAX_BLOCKS, len(counts))
    block_of: dict[str, int] = {}
    # The largest source first, each into the smallest block: sizes end as equal as can be.
    for source in sorted(counts, key=lambda name: (-counts[name], name)):
        block_of[source] = sizes.index(min(sizes))
        sizes[block_of[source]] += counts[source]
    return np.array([block_of[source] for source in sources], np.intp)


@dataclass(frozen=True)
class _Sums:
    """Sums of kernel values by pairs of blocks, and of the diagonal by block: all that estimates need."""

    within_first: Floats
    within_second: Floats
    across: Floats
    diagonal_first: Floats
    diagonal_second: Floats
    count_first: Floats
    count_second: Floats

    @classmethod
    def of(
        cls,
        first: Rows,
        second: Rows,
        of_first: npt.NDArray[np.intp],
        of_second: npt.NDArray[np.intp],
        names: tuple[str, str],
    ) -> _Sums:
        return cls(
            _sums(first, first, of_first, of_first, (names[0], names[0])),
            _sums(second, second, of_second, of_second, (names[1], names[1])),
            _sums(first, second, of_first, of_second, names),
            _diagonal(first, of_first),
            _diagonal(second, of_second),
            np.bincount(of_first).astype(np.float64),
            np.bincount(of_second).astype(np.float64),
        )

    def estimate(self, without_first: int | None = None, without_second: int | None = None) -> float:
        """MMD² without a block of the first rows, and without one of the second; NaN where too few remain."""
        one, two = _kept(self.count_first, without_first), _kept(self.count_second, without_second)
        n, m = float(self.count_first @ one), float(self.count_second @ two)
        if n < 2 or m < 2:
            return math.nan
        xx = one @ self.within_first @ one - self.diagonal_first @ one
        yy = two @ self.within_second @ two - self.diagonal_second @ two
        xy = one @ self.across @ two
        return float(xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m))


def _sums(
    first: Rows,
    second: Rows,
    of_first: npt.NDArray[np.intp],
    of_second: npt.NDArray[np.intp],
    names: tuple[str, str],
) -> Floats:
    """Sums of k(x, y) by block of x and block of y."""
    sums: Floats = np.zeros((int(of_first.max()) + 1, int(of_second.max()) + 1))
    for i in range(0, len(first), _ROWS):
        x = finite_rows(first[i : i + _ROWS], names[0], i)
        members = _membership(of_first[i : i + _ROWS], sums.shape[0])
        for j in range(0, len(second), _ROWS):
            y = finite_rows(second[j : j + _ROWS], names[1], j)
            values = (x @ y.T / x.shape[1] + OFFSET) ** DEGREE
            sums += members.T @ values @ _membership(of_second[j : j + _ROWS], sums.shape[1])
    return sums


def _diagonal(rows: Rows, blocks: npt.NDArray[np.intp]) -> Floats:
    """Sums of k(x, x) by block."""
    sums: Floats = np.zeros(int(blocks.max()) + 1)
    for i in range(0, len(rows), _ROWS):
        x = np.asarray(rows[i : i + _ROWS], np.float64)
        values = ((x * x).sum(axis=1) / x.shape[1] + OFFSET) ** DEGREE
        sums += np.bincount(blocks[i : i + _ROWS], weights=values, minlength=len(sums))
    return sums


def _membership(blocks: npt.NDArray[np.intp], count: int) -> Floats:
    return np.eye(count)[blocks]


def _kept(counts: Floats, without: int | None) -> Floats:
    kept = np.ones(len(counts))
    if without is not None:
        kept[without] = 0
    return kept


def _runs(count: int) -> npt.NDArray[np.intp]:
    """Numbers of up to ``MAX_BLOCKS`` runs of equal length."""
    return np.arange(count) * min(MAX_BLOCKS, count) // count


def _jackknifed(left_out: Sequence[float], value: float) -> StudentEstimate | None:
    if len(left_out) < 2 or not np.isfinite(left_out).all():
        return None
    return jackknife(left_out, value)


def _combined(value: float, estimates: Sequence[StudentEstimate | None]) -> Interval:
    """The interval of the sum of independent errors; none if one of them is unknown."""
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < len(estimates):
        return Interval(value, None, None)
    error = math.sqrt(sum(estimate.standard_error**2 for estimate in known))
    degrees = min(estimate.degrees for estimate in known)
    return StudentEstimate(value, error, degrees, value).interval()


def _check_shapes(first: Rows, second: Rows) -> None:
    for rows in (first, second):
        if len(rows) < 2:
            raise AnimaticError(
                f"a kernel distance needs at least 2 rows of features on both sides, not {len(rows)}"
            )
    if first.shape[1] != second.shape[1]:
        raise AnimaticError(
            f"features of {first.shape[1]} and {second.shape[1]} dimensions cannot be compared: use one "
            "extractor for both"
        )
