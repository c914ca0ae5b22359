"""Summarise a dataset in a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.reports.dataset_report import report_name, write_report
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.survey import Survey, preview_samples, survey


@dataclass(frozen=True)
class InspectOptions:
    """``dataset``: the newest if None; ``report``: under ``runs/inspect`` if None; ``clips`` on the contact
    sheet, chosen by ``seed``."""

    dataset: str | None = None
    report: Path | None = None
    clips: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Inspection:
    """A dataset in figures, and the HTML file with them."""

    survey: Survey
    report: Path


def inspect_dataset(options: InspectOptions, workspace: Workspace) -> Inspection:
    """Read a dataset's tables and some of its clips, and write the report.

    Raises:
        AnimaticError: there is no dataset, or it cannot be read.
    """
    opened = Dataset.open(workspace.dataset(options.dataset))
    found = survey(opened)
    path = options.report or workspace.root / "inspect" / report_name(found)
    write_report(path, found, list(preview_samples(opened, options.clips, options.seed)))
    return Inspection(found, path)
