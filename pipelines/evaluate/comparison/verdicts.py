"""The verdict on a difference against a declared margin, and the clips that an undecided one lacks."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from pipelines.evaluate.comparison.records import Verdict
from pipelines.evaluate.statistics.intervals import LEAST_SOURCES, Estimate

LEVEL = 0.025  # one-sided, of every verdict
POWER = 0.8
MOST_CLIPS = 1_000_000


@dataclass(frozen=True)
class Tests:
    """One-sided p-values of "worse by more than the margin" and of "better"."""

    worse: float
    better: float


def tests_of(difference: Estimate, better: Literal["higher", "lower", "neither"], margin: float) -> Tests:
    """The p-values of a difference second - first. A metric that has no better side can only be worse: by a
    difference of more than the margin to either side."""
    if better == "higher":
        return Tests(difference.p_below(-margin), difference.p_above(0))
    if better == "lower":
        return Tests(difference.p_above(margin), difference.p_below(0))
    return Tests(min(difference.p_below(-margin), difference.p_above(margin)), 1.0)


def verdict_of(
    difference: Estimate, better: Literal["higher", "lower", "neither"], margin: float, adjusted: Tests
) -> Verdict:
    """The verdict at 2.5 % a side; ``adjusted`` are the p-values after the correction for several metrics.

    "Not worse" means that the 95 % interval excludes every loss of more than the margin. It needs no
    correction where all metrics must be so (an intersection-union test, Berger 1982, Technometrics 24:295).
    """
    if adjusted.better <= LEVEL:
        return "better"
    _, low, high = difference.interval()
    if low is not None and high is not None:
        above, below = low >= -margin, high <= margin
        if {"higher": above, "lower": below, "neither": above and below}[better]:
            return "not worse"
    return "worse" if adjusted.worse <= LEVEL else "undecided"


def verdict_by_value(
    difference: float, better: Literal["higher", "lower", "neither"], margin: float
) -> Verdict:
    """The verdict on a value without an interval, which alone is never "better"."""
    loss = {"higher": -difference, "lower": difference, "neither": abs(difference)}[better]
    return "not worse" if loss <= margin else "worse"


def more_clips(
    difference: Estimate,
    better: Literal["higher", "lower", "neither"],
    margin: float,
    clips: int,
    sources: int,
) -> int | None:
    """How many more clips an undecided difference needs, of as many to a source video as now.

    n = ((z_0.975 + z_0.8) · s / d)², with s the standard deviation of one clip's difference (the standard
    error times the root of the clips, so that the resemblance of clips of one video is in it) and d the
    distance of the estimate from the margin: enough for a verdict with a probability of 80 %, if the true
    difference is the estimated one. At least as many as make ``LEAST_SOURCES`` sources, and one. None if it
    is more than ``MOST_CLIPS``.
    """
    value = difference.value
    gain = {"higher": value, "lower": -value, "neither": -abs(value)}[better]
    least = math.ceil((LEAST_SOURCES - sources) * clips / sources)
    error = difference.standard_error
    if math.isnan(error):
        return max(1, least)
    quantiles = NormalDist().inv_cdf(1 - LEVEL) + NormalDist().inv_cdf(POWER)
    distance = abs(gain + margin)
    if error == 0:
        return max(1, least)
    needed = (quantiles * error * math.sqrt(clips) / distance) ** 2 if distance else math.inf
    missing = max(1, least, math.ceil(min(needed, 2 * MOST_CLIPS)) - clips)
    return missing if missing <= MOST_CLIPS else None
