"""The report: figures over all clips from their rows, written canonically and verified when it is read."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Never

from pydantic import JsonValue, TypeAdapter, ValidationError

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from pipelines.evaluate.features.extractor import ExtractorFile
from pipelines.evaluate.metrics import REGISTRY
from pipelines.evaluate.metrics.metric import Column, Metric, NetworkMetric, Reduced
from pipelines.evaluate.records import (
    REPORT_FORMAT,
    ClipRow,
    EvaluationReport,
    Identity,
    MetricValue,
    SystemRecord,
)
from pipelines.evaluate.statistics.intervals import Interval, mean_interval, share_interval

REPORT = "report.json"
_REPORT = TypeAdapter(EvaluationReport)
_INTERVALS = {"bootstrap-by-source": mean_interval, "wilson-by-source": share_interval}


def digest_of_keys(keys: Sequence[str]) -> str:
    """Identifies chosen clips in their order."""
    return digest_of(list(keys))


def versions(
    metrics: Sequence[Metric], extractors: Mapping[str, ExtractorFile], system: SystemRecord
) -> dict[str, str]:
    """The version of each metric's values: its own, and that of what it reads besides clips."""
    return {metric.name: _version(metric, extractors, system) for metric in metrics}


def build_report(
    identity: Identity,
    metrics: Sequence[Metric],
    rows: list[ClipRow],
    reduced: Mapping[str, Reduced],
    extractors: Mapping[str, ExtractorFile],
) -> EvaluationReport:
    """The report of these rows, with the values ``reduced`` of metrics of all clips.

    A column that applies to no clip has no value.
    """
    values: dict[str, MetricValue] = {}
    for metric in metrics:
        version = _version(metric, extractors, identity["system"])
        details = _details(identity, metric, extractors)
        for column in metric.columns:
            value = _over_clips(column, rows, version, details)
            if value is not None:
                values[column.name] = value
        if metric.name in reduced:
            values[metric.name] = _over_set(metric, reduced[metric.name], len(rows), version, details)
    report: EvaluationReport = {
        "format": REPORT_FORMAT,
        "protocol": identity["protocol"],
        "system": identity["system"],
        "metrics": values,
        "clips": rows,
        "frozen": [row["key"] for row in rows if row["frozen"]],
        "black": [row["key"] for row in rows if row["black"]],
        "digest": "",
    }
    return {**report, "digest": report_digest(report)}


def report_digest(report: EvaluationReport) -> str:
    """sha256 of the canonical JSON of everything in a report but its digest."""
    return digest_of({name: value for name, value in report.items() if name != "digest"})


def encode_report(report: EvaluationReport) -> bytes:
    """The bytes of ``report.json``: equal reports have equal bytes."""
    return canonical_json(report)


def report_file(path: Path) -> Path:
    """The report that a path names: itself, or that of the evaluation in a folder."""
    return path / REPORT if path.is_dir() else path


def read_report(path: Path) -> EvaluationReport:
    """Read a report and verify it: format, types, digest, finite figures that follow from the rows.

    Raises AnimaticError, naming the cause, for a report that cannot be read or does not pass.
    """
    try:
        document = json.loads(
            path.read_bytes().decode(), parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
        canonical_json(document)  # refuses text that is not Unicode, which no digest can be of
    except OSError as error:
        raise AnimaticError(f"report {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AnimaticError(f"report {path} is damaged ({error}): rerun animatic evaluate") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != REPORT_FORMAT:
        raise AnimaticError(
            f"report {path} is of format {found}, this version reads format {REPORT_FORMAT}: "
            "rerun animatic evaluate"
        )
    try:
        report = _REPORT.validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise AnimaticError(
            f"report {path} is not a report ({where}: {first['msg']}): rerun animatic evaluate"
        ) from error
    if report["digest"] != report_digest(document):
        raise AnimaticError(
            f"report {path} does not match its digest: it was edited; rerun animatic evaluate"
        )
    contradiction = _contradiction(report)
    if contradiction is not None:
        raise AnimaticError(f"report {path} was edited: {contradiction}; rerun animatic evaluate")
    return report


def _version(metric: Metric, extractors: Mapping[str, ExtractorFile], system: SystemRecord) -> str:
    own = f"{metric.name}/{metric.version}"
    if isinstance(metric, NetworkMetric):
        # What a network's figures mean depends on what it predicts.
        return f"{own}+{system['predicts']}"
    return own if metric.extractor is None else f"{own}+{extractors[metric.extractor].identity}"


def _details(
    identity: Identity, metric: Metric, extractors: Mapping[str, ExtractorFile]
) -> dict[str, JsonValue]:
    """What every value of a metric records."""
    protocol = identity["protocol"]
    details: dict[str, JsonValue] = {
        "frames": protocol["frames"],
        "height": protocol["height"],
        "width": protocol["width"],
        "stride": protocol["stride"],
        "seed": protocol["seed"],
    }
    if metric.extractor is not None:
        file = extractors[metric.extractor]
        details |= {"extractor": file.name, "extractor_sha256": file.digest, **file.details}
    return {**details, **metric.details()}


def _over_clips(
    column: Column, rows: Sequence[ClipRow], version: str, details: Mapping[str, JsonValue]
) -> MetricValue | None:
    interval, n, sources = _interval(column.name, column.interval, rows)
    if interval is None:
        return None
    added: dict[str, JsonValue] = {"interval": column.interval, "sources": sources}
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "n": n,
        "unit": column.unit,
        "better": column.better,
        "version": version,
        "details": {**details, **added},
    }


def _interval(name: str, kind: str, rows: Sequence[ClipRow]) -> tuple[Interval | None, int, int]:
    """Mean of a column with its interval, how many clips count, and how many sources they are of."""
    counted = [(value, row["source"]) for row in rows if (value := row["metrics"][name]) is not None]
    if not counted:
        return None, 0, 0
    values, sources = [value for value, _ in counted], [source for _, source in counted]
    return _INTERVALS[kind](values, sources), len(values), len(set(sources))


def _over_set(
    metric: Metric, reduced: Reduced, n: int, version: str, details: Mapping[str, JsonValue]
) -> MetricValue:
    return {
        "value": reduced.value,
        "low": reduced.low,
        "high": reduced.high,
        "n": n,
        "unit": metric.unit,
        "better": metric.better,
        "version": version,
        "details": {**details, **reduced.details},
    }


def _contradiction(report: EvaluationReport) -> str | None:
    """What in a report does not follow from its rows; None if everything does."""
    rows, protocol = report["clips"], report["protocol"]
    keys = [row["key"] for row in rows]
    if len(set(keys)) != len(keys):
        return "two clips have the same key"
    if len(keys) != protocol["n"] or digest_of_keys(keys) != protocol["clips"]:
        return "its clips are not those of its protocol"
    for name, flag in (("frozen", "frozen"), ("black", "black")):
        if report[name] != [row["key"] for row in rows if row[flag]]:  # type: ignore[literal-required]
            return f"its {name} clips are not those that its rows name"
    columns = set(rows[0]["metrics"]) if rows else set()
    if any(set(row["metrics"]) != columns for row in rows):
        return "its clips have different metrics"
    found = (_contradicted_column(report, name) for name in sorted(columns))
    return next(filter(None, (*found, _foreign_description(report))), None)


def _foreign_description(report: EvaluationReport) -> str | None:
    """A value with another unit or better direction than its metric has, which no row contradicts; verdicts
    depend on the direction."""
    for metric in REGISTRY.values():
        own = (Column(metric.name, metric.unit, metric.better),)
        for column in metric.columns or own:
            stated = report["metrics"].get(column.name)
            # Another version of a metric may have another unit.
            if stated is None or stated["version"].partition("+")[0] != f"{metric.name}/{metric.version}":
                continue
            if (stated["unit"], stated["better"]) != (column.unit, column.better):
                return f"the unit or the better direction of {column.name} is not that of the metric"
    return None


def _contradicted_column(report: EvaluationReport, name: str) -> str | None:
    rows, stated = report["clips"], report["metrics"].get(name)
    if stated is None:
        empty = all(row["metrics"][name] is None for row in rows)
        return None if empty else f"the value of {name} is missing"
    kind = stated["details"].get("interval")
    if kind not in _INTERVALS:
        return f"the interval of {name} is of the unknown kind {kind}"
    try:
        interval, n, _ = _interval(name, str(kind), rows)
    except ValueError as error:
        return f"{name}: {error}"
    figures = (stated["value"], stated["low"], stated["high"])
    if n != stated["n"] or interval is None or not all(map(_equal, interval, figures)):
        return f"the value of {name} is not that of its clips"
    return None


def _equal(computed: float | None, stated: float | None) -> bool:
    """Whether two figures are equal up to the order in which processors of another kind add."""
    if computed is None or stated is None:
        return computed is stated
    return math.isclose(computed, stated, rel_tol=1e-9, abs_tol=1e-12)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no figure")


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """An object of JSON, refused if it has the same key twice: its digest would be that of the last only."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has the same key twice")
    return found
