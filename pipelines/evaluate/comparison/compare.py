"""The comparison of two reports, metric by metric, paired by clip."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from pipelines.evaluate.comparison.records import Comparison, Method, MetricComparison, Verdict
from pipelines.evaluate.comparison.verdicts import (
    Tests,
    more_clips,
    tests_of,
    verdict_by_value,
    verdict_of,
)
from pipelines.evaluate.records import ON_REAL, EvaluationReport, MetricValue
from pipelines.evaluate.statistics.holm import holm
from pipelines.evaluate.statistics.intervals import (
    LEAST_SOURCES,
    Estimate,
    bootstrap_by_source,
    jackknife,
    paired_share,
)

_LEFT_OUT = TypeAdapter(list[float])


@dataclass(frozen=True)
class _Pairing:
    """One metric of both reports before the verdicts; ``estimate`` None: by value alone."""

    name: str
    first: MetricValue
    second: MetricValue
    method: Method
    estimate: Estimate | None
    difference: float
    n: int
    sources: int
    unpaired: int


def compare(
    first: EvaluationReport,
    second: EvaluationReport,
    margins: Mapping[str, float],
    only: Collection[str] | None = None,
) -> Comparison:
    """Compare two reports that :func:`pipelines.evaluate.comparison.matching.require_match` accepts.

    Args:
        margins: by metric, the largest difference for the worse that counts as none; 0 for others.
        only: the metrics to compare; None: all that both reports have of what the systems made. Those of the
            real clips compare nothing.
    """
    own = [name for name in first["metrics"] if not name.endswith(ON_REAL)] if only is None else only
    common = [name for name in first["metrics"] if name in second["metrics"] and name in own]
    pairings = [_pair(name, first, second) for name in common]
    tests = [
        tests_of(each.estimate, each.first["better"], margins.get(each.name, 0.0))
        for each in pairings
        if each.estimate is not None
    ]
    # One metric that is worse fails, and one that is better may be claimed: these are searches among metrics.
    worse, better = holm([test.worse for test in tests]), holm([test.better for test in tests])
    adjusted = (Tests(*pair) for pair in zip(worse, better, strict=True))
    return Comparison(
        first["digest"],
        second["digest"],
        [
            _judged(each, margins.get(each.name, 0.0), next(adjusted) if each.estimate is not None else None)
            for each in pairings
        ],
        sorted(first["metrics"].keys() ^ second["metrics"].keys()),
    )


def _pair(name: str, first: EvaluationReport, second: EvaluationReport) -> _Pairing:
    rows = [
        (a["metrics"].get(name), b["metrics"].get(name), a["source"])
        for a, b in zip(first["clips"], second["clips"], strict=True)
    ]
    paired = [(a, b, source) for a, b, source in rows if a is not None and b is not None]
    values = first["metrics"][name], second["metrics"][name]
    unpaired = sum((a is None) != (b is None) for a, b, _ in rows)
    if not paired:
        estimate = _of_sets(*values)
        difference = values[1]["value"] - values[0]["value"]
        method: Method = "value alone" if estimate is None else "jackknife"
        sources = len({source for _, _, source in rows})
        return _Pairing(name, *values, method, estimate, difference, values[1]["n"], sources, unpaired)
    before, after, sources_of = (list(column) for column in zip(*paired, strict=True))
    if set(before) | set(after) <= {0, 1}:
        method, found = "paired shares", paired_share(before, after, sources_of)
    else:
        changes = [b - a for a, b, _ in paired]
        method, found = "paired by clip", bootstrap_by_source(changes, sources_of)
    return _Pairing(name, *values, method, found, found.value, len(paired), len(set(sources_of)), unpaired)


def _of_sets(first: MetricValue, second: MetricValue) -> Estimate | None:
    """The difference of two values over the whole set, from their values without each block of source videos.

    Both leave out the same blocks, so that the variance which the real clips and the pictures cause cancels.
    None for a metric that has no such values, as Fréchet distances.
    """
    without = [_LEFT_OUT.validate_python(value["details"].get("left_out", ())) for value in (first, second)]
    if len(without[0]) != len(without[1]) or len(without[0]) < LEAST_SOURCES:
        return None
    changes = [b - a for a, b in zip(*without, strict=True)]
    return jackknife(changes, second["value"] - first["value"])


def _judged(pairing: _Pairing, margin: float, adjusted: Tests | None) -> MetricComparison:
    better, estimate = pairing.first["better"], pairing.estimate
    low, high, missing = None, None, None
    verdict: Verdict
    if estimate is None and pairing.unpaired:
        verdict = "undecided"  # two values of other clips each
    elif estimate is None or adjusted is None:
        verdict = verdict_by_value(pairing.difference, better, margin)
    else:
        _, low, high = estimate.interval()
        verdict = verdict_of(estimate, better, margin, adjusted)
        if verdict == "undecided":
            missing = more_clips(estimate, better, margin, pairing.n, pairing.sources)
    return MetricComparison(
        name=pairing.name,
        unit=pairing.first["unit"],
        better=better,
        method=pairing.method,
        first=pairing.first["value"],
        second=pairing.second["value"],
        difference=pairing.difference,
        low=low,
        high=high,
        margin=margin,
        n=pairing.n,
        sources=pairing.sources,
        unpaired=pairing.unpaired,
        verdict=verdict,
        p_worse=adjusted.worse if adjusted else None,
        p_better=adjusted.better if adjusted else None,
        more_clips=missing,
    )
