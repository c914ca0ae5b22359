"""Compare two evaluation reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.workspace import display_path
from pipelines.evaluate import EvaluationReport, read_report
from pipelines.evaluate import comparison as comparing
from pipelines.evaluate.gate import read_policy, shipped_policy, shipped_presets


@dataclass(frozen=True)
class CompareOptions:
    """The ``second`` report is judged against the ``first``; ``gate``: a file with the margins, the gate of
    the second's preset if None, margins of 0 if that has none."""

    first: Path
    second: Path
    gate: Path | None = None


@dataclass(frozen=True)
class ComparedReports:
    """The comparison of two reports, with their files and the names of their systems."""

    first: Path
    second: Path
    first_name: str
    second_name: str
    comparison: comparing.Comparison


def compare(options: CompareOptions) -> ComparedReports:
    """Compare two reports, paired by clip.

    Raises:
        AnimaticError: a report is damaged, or the two are not of the same protocol and clips.
    """
    first, second = read_report(options.first), read_report(options.second)
    comparing.require_match(first, second, (display_path(options.first), display_path(options.second)))
    return ComparedReports(
        options.first,
        options.second,
        _name(first),
        _name(second),
        comparing.compare(first, second, _margins(second, options.gate)),
    )


def _margins(report: EvaluationReport, gate: Path | None) -> dict[str, float]:
    if gate is not None:
        return read_policy(gate).margins
    preset = report["system"].get("preset")
    return shipped_policy(preset).margins if preset in shipped_presets() else {}


def _name(report: EvaluationReport) -> str:
    system = report["system"]
    return f"{system['kind']} {system['name']} ({system['digest'][:12]})"
