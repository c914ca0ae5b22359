"""Make a preference study from reports, and score the answers of its raters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.evaluate import report_file
from pipelines.evaluate.study import (
    MadeStudy,
    StudyResult,
    StudySettings,
    make_study,
    score_study,
)


@dataclass(frozen=True)
class MakeStudyOptions:
    """``reports``: files, or folders of evaluations; ``folder``: what to write."""

    reports: Sequence[Path]
    folder: Path
    settings: StudySettings = field(default_factory=StudySettings)


def make(
    options: MakeStudyOptions, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> MadeStudy:
    """Write the page for raters and the key; ``on_progress`` gets (clips written, clips).

    Raises:
        AnimaticError: a report cannot be read, the reports are not comparable, or the folder has other
        content.
    """
    reports = [report_file(path) for path in options.reports]
    return make_study(reports, options.folder, options.settings, on_progress)


def score(folder: Path, answers: Sequence[Path]) -> StudyResult:
    """Score raters' files, or folders of them, and write ``study.json`` into the study's folder.

    Raises:
        AnimaticError: the study or a file is damaged, edited, incomplete, or belongs to something else.
    """
    return score_study(folder, answers)
