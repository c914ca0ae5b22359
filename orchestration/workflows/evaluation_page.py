"""The page of finished evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.canonical_json import digest_of
from core.errors import AnimaticError
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluationReport, read_report
from pipelines.evaluate.page import EvaluatedSystem, write_page


@dataclass(frozen=True)
class PageOptions:
    """``reports``: files in the folders of their evaluations, that of the system of interest first.

    ``folder``: of the page; if None, ``runs/pages/DIGEST``, named by the reports.
    """

    reports: Sequence[Path]
    folder: Path | None = None


@dataclass(frozen=True)
class PageResult:
    """The file that was written."""

    page: Path


def write_side_by_side(options: PageOptions, workspace: Workspace) -> PageResult:
    """Write one page about several evaluations of the same clips.

    Raises:
        AnimaticError: a report is damaged or named twice, an evaluation's clips are missing, or the systems
            were not evaluated on the same clips.
    """
    systems = [EvaluatedSystem(read_report(path), path.parent) for path in options.reports]
    digests = [system.report["digest"] for system in systems]
    if len(set(digests)) < len(digests):
        raise AnimaticError("the same report is named twice: name each once")
    folder = options.folder or workspace.root / "pages" / digest_of(digests)[:12]
    return PageResult(write_page(folder, systems))


def write_own_page(report: EvaluationReport, folder: Path) -> Path:
    """Write the page of an evaluation into its folder."""
    return write_page(folder, [EvaluatedSystem(report, folder)])
