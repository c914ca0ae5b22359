"""The figures of a variant, and its differences from the whole method, paired by clip and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orchestration.workflows.ablation.records import DifferenceRecord, VariantMetric
from pipelines.evaluate import EvaluationReport
from pipelines.evaluate.statistics.intervals import (
    bootstrap_by_source,
    mean_interval,
    paired_share,
    share_interval,
)

# Reports of one variant by seed.
Reports = Mapping[int, EvaluationReport]


def variant_metrics(own: Reports, full: Reports | None) -> dict[str, VariantMetric]:
    """Every metric that the reports of all seeds have, in their order.

    Args:
        own: the variant's reports.
        full: those of the whole method; None for the whole method itself. Differences are over the seeds that
            both have, of the clips that the metric applies to in both.
    """
    if not own:
        return {}
    first = next(iter(own.values()))
    names = [name for name in first["metrics"] if all(name in report["metrics"] for report in own.values())]
    return {name: _metric(name, own, full) for name in names}


def _metric(name: str, own: Reports, full: Reports | None) -> VariantMetric:
    reports = list(own.values())
    kind = reports[0]["metrics"][name]
    value = float(np.mean([report["metrics"][name]["value"] for report in reports]))
    low, high = kind["low"], kind["high"]
    if len(reports) > 1:
        low, high = _interval(name, reports)
    return {
        "value": value,
        "low": low,
        "high": high,
        "unit": kind["unit"],
        "better": kind["better"],
        "difference": None if full is None else _difference(name, own, full),
    }


def _interval(name: str, reports: Sequence[EvaluationReport]) -> tuple[float | None, float | None]:
    """The interval over clips of the mean over seeds; none for a metric of the whole set."""
    columns = [_column(name, report) for report in reports]
    keys = [key for key in columns[0] if all(key in column for column in columns)]
    if not keys:
        return None, None
    values = [float(np.mean([column[key] for column in columns])) for key in keys]
    sources = _sources(reports[0])
    interval = share_interval if set(values) <= {0, 1} else mean_interval
    _, low, high = interval(values, [sources[key] for key in keys])
    return low, high


def _difference(name: str, own: Reports, full: Reports) -> DifferenceRecord | None:
    seeds = [seed for seed in own if seed in full and name in full[seed]["metrics"]]
    if not seeds:
        return None
    by_seed = [own[seed]["metrics"][name]["value"] - full[seed]["metrics"][name]["value"] for seed in seeds]
    pairs = [(_column(name, full[seed]), _column(name, own[seed])) for seed in seeds]
    keys = [key for key in pairs[0][0] if all(key in column for pair in pairs for column in pair)]
    if not keys:  # a metric of the whole set
        return {
            "value": float(np.mean(by_seed)),
            "low": None,
            "high": None,
            "n": own[seeds[0]]["metrics"][name]["n"],
            "sources": 0,
            "by_seed": by_seed,
        }
    sources = [_sources(own[seeds[0]])[key] for key in keys]
    before, after = ([column[key] for key in keys] for column in pairs[0])
    if len(seeds) == 1 and set(before) | set(after) <= {0, 1}:
        estimate = paired_share(before, after, sources)
    else:
        changes = [float(np.mean([second[key] - first[key] for first, second in pairs])) for key in keys]
        estimate = bootstrap_by_source(changes, sources)
    interval = estimate.interval()
    # Of the paired clips alone, as the interval is.
    by_seed = [float(np.mean([second[key] - first[key] for key in keys])) for first, second in pairs]
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "n": len(keys),
        "sources": len(set(sources)),
        "by_seed": by_seed,
    }


def _column(name: str, report: EvaluationReport) -> dict[str, float]:
    """Values of the clips that the metric applies to, by key."""
    values = ((row["key"], row["metrics"].get(name)) for row in report["clips"])
    return {key: value for key, value in values if value is not None}


def _sources(report: EvaluationReport) -> dict[str, str]:
    return {row["key"]: row["source"] for row in report["clips"]}
