"""Evaluations of a run's bundle, recorded in the run folder so that trackers can be given their reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import AnimaticError
from core.journal import JournalWriter, read_records
from core.lock import file_lock
from training.run_folder import RunFolder

RECORD = "evaluations.jsonl"
REPORT, PAGE = "report.json", "index.html"
_WAIT_S = 10.0


class Evaluated(BaseModel):
    """One line: an evaluation of the bundle is finished.

    ``folder`` is absolute, ``report`` the digest that the report states of itself, ``protocol`` and ``clips``
    how it was measured, ``values`` the figures over all clips.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    event: str = "evaluation"
    time: float
    bundle: str
    folder: str
    report: str
    protocol: str
    clips: int
    values: dict[str, float]


@dataclass(frozen=True)
class ReportFiles:
    """An evaluation, and its files as far as they are still in its folder."""

    evaluated: Evaluated
    report: Path | None
    page: Path | None

    @property
    def name(self) -> str:
        return Path(self.evaluated.folder).name


def run_of_bundle(bundle: Path) -> Path | None:
    """The run folder that a bundle's folder is in; None for imported and copied bundles."""
    run = bundle.resolve().parent
    return run if RunFolder(run).bundle.resolve() == bundle.resolve() and _is_run(run) else None


def record_evaluation(run: Path, evaluated: Evaluated) -> None:
    """Append to ``evaluations.jsonl`` of the run; nothing where its newest line of the folder is the same.

    Raises:
        LockedError: another process has been writing it for seconds.
        OSError: the folder cannot be written to.
    """
    path = run / RECORD
    with file_lock(run / "tracking" / "evaluations.lock", _WAIT_S):
        known = [each for each in recorded_evaluations(run) if each.folder == evaluated.folder]
        if known and (known[-1].report, known[-1].bundle) == (evaluated.report, evaluated.bundle):
            return
        with JournalWriter(path) as writer:
            writer.append(evaluated.model_dump())


def recorded_evaluations(run: Path) -> list[Evaluated]:
    """Lines of ``evaluations.jsonl``, oldest first.

    Raises:
        AnimaticError: a line is not one of this file's.
    """
    found = []
    for record in read_records(run / RECORD)[0]:
        try:
            found.append(Evaluated.model_validate(record))
        except ValidationError as error:
            raise AnimaticError(
                f"{run / RECORD} has a line that is no evaluation: delete the file, and evaluate again to "
                "attach the reports"
            ) from error
    return found


def reports_of_run(run: Path, bundle: str) -> list[ReportFiles]:
    """The newest evaluation in each folder of a bundle, given by its id."""
    newest = {each.folder: each for each in recorded_evaluations(run) if each.bundle == bundle}
    return [
        ReportFiles(each, _existing(folder, REPORT), _existing(folder, PAGE))
        for folder, each in newest.items()
    ]


def _existing(folder: str, name: str) -> Path | None:
    path = Path(folder) / name
    return path if path.is_file() else None


def _is_run(folder: Path) -> bool:
    return RunFolder(folder).journal.is_file()
