"""Intervals of means and differences over clips, and tests of one bound, grouped by source video.

Clips cut from one video resemble each other, so the independent units are source videos: the bootstrap draws
whole sources (Davison and Hinkley 1997, section 3.8). Nothing here applies to Fréchet distances, whose
bootstrap excludes its own estimate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 10_000
# With fewer, the corrected percentiles are beyond every resample: an interval would be the data's range.
LEAST_SOURCES = 5

_NORMAL = NormalDist()
_BLOCK = 1_000_000  # numbers drawn at once: 8 MB, whatever the number of clips


class Interval(NamedTuple):
    """A value with its 95 % interval; ``low`` and ``high`` are None where too few sources give none."""

    value: float
    low: float | None
    high: float | None


class Estimate(ABC):
    """An estimated mean or difference with its sampling distribution.

    ``value``: the estimate. ``standard_error`` is that of ``value``, 0 if all data are equal.
    """

    value: float
    standard_error: float

    @abstractmethod
    def interval(self) -> Interval:
        """The value and its 95 % interval."""

    @abstractmethod
    def p_above(self, bound: float) -> float:
        """One-sided p-value of "the true value is at most ``bound``": small if the data contradict it.

        It is below 2.5 % where the interval is above ``bound``; 1 where there is no interval.
        """

    @abstractmethod
    def p_below(self, bound: float) -> float:
        """The same of "the true value is at least ``bound``"."""


@dataclass(frozen=True)
class SourceBootstrap(Estimate):
    """The mean over clips, resampled by source video; see :func:`bootstrap_by_source`.

    ``draws``: the means of the resamples, sorted. Intervals are *expanded* percentiles (Hesterberg 2015, The
    American Statistician 69:371): plain ones are too narrow by the factor sqrt((G - 1) / G) and by normal in
    place of Student's quantiles, so of G sources the tail of each side becomes
    Φ(-sqrt(G / (G - 1)) · t), with t the quantile of Student's distribution of G - 1 degrees of freedom. BCa
    intervals correct for skewness instead, and do worse than these on few sources.
    """

    value: float
    sources: int
    draws: Floats

    @property
    def standard_error(self) -> float:  # type: ignore[override]
        """Of the mean; the bootstrap's own is too small by sqrt((G - 1) / G)."""
        if self.sources < 2:
            return math.nan
        return float(self.draws.std()) * math.sqrt(self.sources / (self.sources - 1))

    def interval(self) -> Interval:
        if self.sources < LEAST_SOURCES:
            return Interval(self.value, None, None)
        t = float(stdtrit(self.sources - 1, (1 + CONFIDENCE) / 2))
        tail = _NORMAL.cdf(-self._expansion * t)
        low, high = np.quantile(self.draws, (tail, 1 - tail))
        return Interval(self.value, float(low), float(high))

    def p_above(self, bound: float) -> float:
        return self._p(int(np.searchsorted(self.draws, bound, side="right")))

    def p_below(self, bound: float) -> float:
        return self._p(len(self.draws) - int(np.searchsorted(self.draws, bound, side="left")))

    @cached_property
    def _expansion(self) -> float:
        return math.sqrt(self.sources / (self.sources - 1))

    def _p(self, contradicting: int) -> float:
        """The tail of Student's distribution of which the expanded tail is the share of these draws."""
        if self.sources < LEAST_SOURCES:
            return 1.0
        share = min((contradicting + 1) / (len(self.draws) + 1), 1 - 1e-12)
        return float(stdtr(self.sources - 1, _NORMAL.inv_cdf(share) / self._expansion))


@dataclass(frozen=True)
class StudentEstimate(Estimate):
    """An estimate with a standard error and Student's distribution; ``degrees`` of freedom may be infinite.

    ``centre``: of the interval, where that is not the estimate itself.
    """

    value: float
    standard_error: float
    degrees: float
    centre: float

    def interval(self) -> Interval:
        half = _quantile(self.degrees) * self.standard_error
        return Interval(self.value, self.centre - half, self.centre + half)

    def p_above(self, bound: float) -> float:
        return self._tail(bound - self.centre)

    def p_below(self, bound: float) -> float:
        return self._tail(self.centre - bound)

    def _tail(self, distance: float) -> float:
        if self.standard_error == 0:
            return 0.5 if distance == 0 else float(distance > 0)
        return _cumulative(distance / self.standard_error, self.degrees)


@dataclass(frozen=True)
class WidestEstimate(Estimate):
    """Two estimates of one value: the hull of their intervals, and the larger p-values."""

    first: Estimate
    second: Estimate

    @property
    def value(self) -> float:  # type: ignore[override]
        return self.first.value

    @property
    def standard_error(self) -> float:  # type: ignore[override]
        return max(self.first.standard_error, self.second.standard_error)

    def interval(self) -> Interval:
        return _hull(self.first.interval(), self.second.interval())

    def p_above(self, bound: float) -> float:
        return max(self.first.p_above(bound), self.second.p_above(bound))

    def p_below(self, bound: float) -> float:
        return max(self.first.p_below(bound), self.second.p_below(bound))


def bootstrap_by_source(
    values: Sequence[float], sources: Sequence[str] | None = None, seed: int = 0
) -> SourceBootstrap:
    """The mean of ``values``, one for each clip, and its resamples of whole source videos.

    A resample draws as many sources as there are, with repetition, and is the mean over all of their clips.
    The result depends on ``seed`` and the data, not on their order. ``sources`` None: each clip has its own.
    Raises ValueError for no values, for other than one source a value, and for values that are not finite.
    """
    data = np.asarray(values, np.float64)
    if sources is None:
        sources = [f"{n:09d}" for n in np.argsort(data, kind="stable").argsort()]
    if not len(data) or len(data) != len(sources):
        raise ValueError(f"{len(data)} values of {len(sources)} clips")
    if not np.isfinite(data).all():
        raise ValueError("a value is not finite")
    order = sorted(range(len(data)), key=lambda n: (sources[n], data[n]))
    _, group = np.unique([sources[n] for n in order], return_inverse=True)
    counts: Floats = np.bincount(group).astype(np.float64)
    totals: Floats = np.bincount(group, weights=data[order]).astype(np.float64)
    # Of equal values every mean is that value: rounding must not make it another.
    if (data == data[0]).all():
        return SourceBootstrap(float(data[0]), len(counts), np.full(RESAMPLES, data[0]))
    draws = np.sort(_resampled_means(totals, counts, np.random.default_rng(seed)))
    return SourceBootstrap(float(totals.sum() / counts.sum()), len(counts), draws)


def paired_share(
    first: Sequence[float], second: Sequence[float], sources: Sequence[str], seed: int = 0
) -> Estimate:
    """The difference second - first of the mean of a metric that is 0 or 1 for each clip.

    The bootstrap of differences that are all 0 has no width, however few clips there are, so the result is
    the wider of it and the adjusted interval for paired shares of Bonett and Price (2012, J. Educ. Behav.
    Stat. 37:479), which counts one more clip of each discordant kind. For that, the clips of one source count
    as one. Raises ValueError as :func:`bootstrap_by_source`, and for values other than 0 and 1.
    """
    before, after = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not np.isin(np.concatenate([before, after]), (0, 1)).all():
        raise ValueError("a share is of values that are 0 or 1")
    resampled = bootstrap_by_source(list(after - before), sources, seed)
    n, weight = resampled.sources, resampled.sources / len(before)
    gained = (float((after > before).sum()) * weight + 1) / (n + 2)
    lost = (float((after < before).sum()) * weight + 1) / (n + 2)
    centre = gained - lost
    error = math.sqrt((gained + lost - centre**2) / (n + 2))
    return WidestEstimate(resampled, StudentEstimate(resampled.value, error, math.inf, centre))


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927). Raises ValueError without trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials")
    share, z = successes / trials, _quantile(math.inf)
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: Sequence[float], sources: Sequence[str] | None = None, seed: int = 0) -> Interval:
    """The mean over clips and its 95 % interval, see :class:`SourceBootstrap`; none below ``LEAST_SOURCES``.

    Arguments and errors as of :func:`bootstrap_by_source`.
    """
    return bootstrap_by_source(values, sources, seed).interval()


def share_interval(values: Sequence[float], sources: Sequence[str] | None = None, seed: int = 0) -> Interval:
    """The share of clips whose value is 1 and not 0, and its 95 % interval.

    Wilson's, where every clip has a source of its own. Otherwise the hull of the bootstrap's interval and of
    Wilson's with the clips of one source counted as one. Arguments and errors as of
    :func:`bootstrap_by_source`; raises ValueError for values other than 0 and 1 too.
    """
    if not set(values) <= {0, 1}:
        raise ValueError("a share is of values that are 0 or 1")
    resampled = bootstrap_by_source(values, sources, seed)
    trials = resampled.sources
    score = Interval(resampled.value, *wilson(min(resampled.value * trials, trials), trials))
    drawn = resampled.interval()
    return score if trials == len(values) or drawn.low is None else _hull(score, drawn)


def jackknife(left_out: Sequence[float], value: float) -> StudentEstimate:
    """An estimate with the standard error of its block jackknife (Efron and Stein 1981).

    ``left_out``: the estimate without each of the blocks, which have equal sizes. Raises ValueError for fewer
    than two blocks, and for values that are not finite.
    """
    data = np.asarray(left_out, np.float64)
    if len(data) < 2 or not np.isfinite(data).all() or not math.isfinite(value):
        raise ValueError(f"a jackknife of {len(data)} blocks needs two finite ones at least")
    blocks = len(data)
    error = math.sqrt((blocks - 1) / blocks * float(((data - data.mean()) ** 2).sum()))
    return StudentEstimate(value, error, blocks - 1, value)


def _resampled_means(totals: Floats, counts: Floats, generator: np.random.Generator) -> Floats:
    size = len(totals)
    rows = max(1, _BLOCK // size)
    equal = bool((counts == counts[0]).all())
    means = []
    for start in range(0, RESAMPLES, rows):
        drawn = generator.integers(size, size=(min(rows, RESAMPLES - start), size))
        clips = size * counts[0] if equal else counts[drawn].sum(axis=1)
        means.append(totals[drawn].sum(axis=1) / clips)
    return np.concatenate(means)


def _hull(first: Interval, second: Interval) -> Interval:
    """The smallest interval that contains both; none if one of them has none."""
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Interval(first.value, None, None)
    return Interval(first.value, min(first.low, second.low), max(first.high, second.high))


def _quantile(degrees: float) -> float:
    upper = (1 + CONFIDENCE) / 2
    return _NORMAL.inv_cdf(upper) if math.isinf(degrees) else float(stdtrit(degrees, upper))


def _cumulative(value: float, degrees: float) -> float:
    return _NORMAL.cdf(value) if math.isinf(degrees) else float(stdtr(degrees, value))
