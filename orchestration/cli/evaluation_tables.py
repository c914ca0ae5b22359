"""A measured evaluation on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration.cli.common import out, print_table, short
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from pipelines.evaluate import EvaluationPlan, EvaluationReport, MetricValue

LISTED = 10  # keys of frozen or black clips


def print_evaluation(planned: EvaluationPlan, report: EvaluationReport, finished: bool) -> None:
    """Print the metrics with their intervals, and where the report is; ``finished``: it was there before."""
    if finished:
        out().print("nothing left to do: every clip was evaluated before")
    system = report["system"]
    out().print(f"{system['kind']} {short(system['digest'])} on {len(report['clips'])} clips")
    print_table(
        ("metric", "value", "95 % interval", "unit", "better", "clips"),
        [_metric_row(name, value) for name, value in report["metrics"].items()],
    )
    for state in ("frozen", "black"):
        if keys := report[state]:
            out().print(
                f"{len(keys)} {state}: {', '.join(keys[:LISTED])}{', …' if len(keys) > LISTED else ''}"
            )
    out().print(f"report {display_path(planned.report)}")
    out().print(f"page {display_path(planned.report.with_name('index.html'))}")


def _metric_row(name: str, value: MetricValue) -> tuple[object, ...]:
    low, high = value["low"], value["high"]
    interval = None if low is None or high is None else f"{low:.4g} to {high:.4g}"
    better = None if value["better"] == "neither" else value["better"]
    return name, f"{value['value']:.4g}", interval, value["unit"], better, value["n"]
