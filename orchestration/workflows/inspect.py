"""Summarise a dataset in a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.reports.dataset_report import report_name, write_report
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.survey import (
    Keeping,
    Spans,
    Survey,
    count_kept,
    draw_clips,
    parse_limits,
    preview_samples,
    survey,
)


@dataclass(frozen=True)
class InspectOptions:
    """``dataset``: the newest if None; ``report``: under ``runs/inspect`` if None; ``clips`` on the contact
    sheet, chosen by ``seed``; ``keep``: limits, as ``aesthetic>=4.5,flow>=1``, whose clips are counted."""

    dataset: str | None = None
    report: Path | None = None
    clips: int = 24
    seed: int = 0
    keep: str | None = None


@dataclass(frozen=True)
class Inspection:
    """A dataset in figures, the HTML file with them, and what the given limits keep, if any."""

    survey: Survey
    report: Path
    keeping: Keeping | None


def inspect_dataset(options: InspectOptions, workspace: Workspace) -> Inspection:
    """Read a dataset's tables and some of its clips, and write the report.

    Raises:
        AnimaticError: there is no dataset, or it cannot be read; a limit is none, or of an unknown column.
    """
    selection = parse_limits(options.keep) if options.keep is not None else None
    opened = Dataset.open(workspace.dataset(options.dataset))
    kept = count_kept(opened, selection) if selection is not None else None
    found = survey(opened)
    path = options.report or workspace.root / "inspect" / report_name(found)
    sheet = list(preview_samples(opened, options.clips, options.seed))
    drawn = draw_clips(opened, [each.name for each in found.distributions])
    write_report(path, found, sheet, Spans.of(opened).whole, drawn)
    return Inspection(found, path, kept)
