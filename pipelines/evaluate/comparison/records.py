"""What a comparison of two reports finds."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["better", "not worse", "worse", "undecided"]
Method = Literal["paired by clip", "paired shares", "jackknife", "value alone"]


@dataclass(frozen=True)
class MetricComparison:
    """One metric of two reports, ``first`` and ``second``; ``difference`` is second - first.

    Attributes:
        better: which values are better; "neither": the closer to the first report's.
        low, high: 95 % interval of the difference, in the metric's unit; None where there is none.
        margin: the difference for the worse that counts as none, in the metric's unit.
        n: clips that the difference is over; ``sources``: the videos that they were cut from.
        unpaired: clips that the metric applies to in one of the reports only, which are left out.
        p_worse, p_better: one-sided p-values of these verdicts, after Holm's correction over all metrics of
            the comparison; None for a comparison by value alone.
        more_clips: how many more clips an undecided metric needs; None for others, and if it would be more
            than :data:`pipelines.evaluate.comparison.verdicts.MOST_CLIPS`.
    """

    name: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    method: Method
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    margin: float
    n: int
    sources: int
    unpaired: int
    verdict: Verdict
    p_worse: float | None
    p_better: float | None
    more_clips: int | None


@dataclass(frozen=True)
class Comparison:
    """Two reports of one protocol, by their digests, and every metric that both have.

    ``left_out``: the metrics that only one of the reports has.
    """

    first: str
    second: str
    metrics: list[MetricComparison]
    left_out: list[str]

    def of(self, name: str) -> MetricComparison | None:
        """The comparison of a metric; None if not both reports have it."""
        return next((metric for metric in self.metrics if metric.name == name), None)
