"""Verbs over reports: compare, gate; and how decisions of a gate are printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import AsJson, local_report, local_source, out, print_json, print_table, short
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.registry import Entry, GateRecord
    from orchestration.workflows.compare import ComparedReports
    from orchestration.workflows.gate import Judgement

PANEL = "Promotion"
Study = Annotated[
    Path | None,
    typer.Option(
        parser=local_source, metavar="FILE", help="study.json of the preference study that the gate requires."
    ),
]
GateFile = Annotated[
    Path | None,
    typer.Option(
        "--gate", parser=local_source, metavar="FILE", help="gate.yaml; the preset's own if not given."
    ),
]
ChampionReport = Annotated[
    Path | None,
    typer.Option(
        parser=local_report,
        metavar="PATH",
        help="Of the champion; the one it was promoted with, or a newer one that compares, if not given.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (compare, gate))


def compare(
    first: Annotated[
        Path, typer.Argument(parser=local_report, metavar="REPORT_A", help="Report to start from.")
    ],
    second: Annotated[
        Path, typer.Argument(parser=local_report, metavar="REPORT_B", help="Report to judge against it.")
    ],
    gate: Annotated[
        Path | None,
        typer.Option(
            "--gate",
            parser=local_source,
            metavar="FILE",
            help="gate.yaml with the margins; that of the preset of REPORT_B if not given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two reports, paired by clip: is B better, not worse, or worse than A?"""
    from orchestration.workflows import compare as workflow

    compared = workflow.compare(workflow.CompareOptions(first, second, gate))
    if as_json:
        print_json({"first": compared.first, "second": compared.second, "comparison": compared.comparison})
    else:
        _print_comparison(compared)


def gate(
    report: Annotated[
        Path, typer.Argument(parser=local_report, metavar="REPORT", help="Evaluation report of a bundle.")
    ],
    gate_file: GateFile = None,
    champion_report: ChampionReport = None,
    study: Study = None,
    as_json: AsJson = False,
) -> None:
    """Apply the promotion gate to a report, and promote nothing."""
    from orchestration.workflows import gate as workflow
    from orchestration.workflows.gate_records import GateOptions, GateRefusalError
    from orchestration.workspace import Workspace

    judgement = workflow.check(GateOptions(report, gate_file, champion_report, study), Workspace.current())
    _print_judgement(judgement, as_json)
    if judgement.decision.outcome != "PASS":
        raise GateRefusalError(judgement)


@contextmanager
def print_refusal(as_json: bool) -> Iterator[None]:
    """Print every check of a gate that does not pass, before the error does in one line."""
    from orchestration.workflows.gate_records import GateRefusalError

    try:
        yield
    except GateRefusalError as error:
        _print_judgement(error.judgement, as_json)
        raise


def print_grounds(entry: Entry) -> None:
    """What a promotion was decided on."""
    if entry.gate is not None:
        print_checks(entry.gate)
    if entry.forced:
        out().print(f"forced: {entry.forced}")


def print_checks(record: GateRecord) -> None:
    """A table of the checks, and the outcome."""
    print_table(
        ("check", "of", "result", "found"),
        [(check.kind, check.name, check.outcome, check.text) for check in record.checks],
    )
    against = f" against champion {short(record.champion_bundle)}" if record.champion_bundle else ""
    out().print(f"gate {record.gate_name}: {record.outcome}{against}, report {short(record.report)}")


def _print_judgement(judgement: Judgement, as_json: bool) -> None:
    from orchestration.registry import GateRecord

    record = GateRecord.of(judgement.decision)
    if as_json:
        reports = [path for path in (judgement.path, judgement.champion_path) if path is not None]
        print_json({"gate": record, "reports": reports})
    else:
        print_checks(record)


def _print_comparison(compared: ComparedReports) -> None:
    out().print(f"A {compared.first_name}: {display_path(compared.first)}")
    out().print(f"B {compared.second_name}: {display_path(compared.second)}")
    print_table(
        ("metric", "unit", "A", "B", "B - A", "95 % interval", "margin", "clips", "B is"),
        [
            (
                metric.name,
                metric.unit,
                f"{metric.first:.4g}",
                f"{metric.second:.4g}",
                f"{metric.difference:+.3g}",
                None if metric.low is None else f"{metric.low:+.3g} to {metric.high:+.3g}",
                f"{metric.margin:g}",
                metric.n,
                metric.verdict + _lacking(metric.verdict, metric.more_clips),
            )
            for metric in compared.comparison.metrics
        ],
    )
    if compared.comparison.left_out:
        out().print(f"in one of the reports only: {', '.join(compared.comparison.left_out)}")


def _lacking(verdict: str, more_clips: int | None) -> str:
    if verdict != "undecided":
        return ""
    return f", {more_clips} more clips needed" if more_clips else ", more than a million clips needed"
