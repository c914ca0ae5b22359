"""Making a preference study from the reports of evaluations: a page for raters, and the key to its names."""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.files import atomic_folder
from pipelines.evaluate.comparison import mismatch
from pipelines.evaluate.records import EvaluationReport
from pipelines.evaluate.report import read_report
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.study.design import (
    Names,
    StudySettings,
    attention_pairs,
    comparisons,
    schedule,
)
from pipelines.evaluate.study.key import KEY, read_key, sealed
from pipelines.evaluate.study.media import WantedMedia, write_media
from pipelines.evaluate.study.page import render
from pipelines.evaluate.study.records import KEY_FORMAT, StudyKey, StudySystem

PAGE, CODES = "page", "raters.csv"
_TIME = 946_684_800  # of every file of the page, so that the order of writing is not visible; the year 2000


@dataclass(frozen=True)
class MadeStudy:
    """A study's folder: ``page`` is for the raters, ``key`` is not."""

    folder: Path
    key: StudyKey
    existed: bool

    @property
    def page(self) -> Path:
        """The file that raters open."""
        return self.folder / PAGE / "index.html"


def make_study(
    reports: Sequence[Path],
    folder: Path,
    settings: StudySettings,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> MadeStudy:
    """Write a study of the systems of these reports; nothing if ``folder`` has this very study.

    ``folder`` gets ``page/`` with index.html, clips and pictures, ``key.json``, and ``raters.csv`` with a
    code and a link for each rater. ``on_progress`` gets (clips written, clips).

    Raises AnimaticError if the reports are of different protocols or clips, of one system twice, or not
    beside their clips, if there are too few clips, or if ``folder`` contains something else.
    """
    opened = {path: read_report(path) for path in dict.fromkeys(reports)}
    if len(opened) < len(reports):
        raise AnimaticError("a report is named twice: name one report of each system")
    check_comparable(opened)
    for path, report in opened.items():
        EvaluationFolder(path.parent).require_clips_of(report)
    key = design_study(list(opened.values()), settings)
    if folder.exists():
        return MadeStudy(folder, _require_same(folder, key), existed=True)
    rows = {row["key"]: row for row in next(iter(opened.values()))["clips"]}
    names = Names.of([report["digest"] for report in opened.values()], settings)
    pictures = {clip: names.picture(clip) for clip in rows}
    with atomic_folder(folder) as partial:
        page = partial / PAGE
        files = {report["digest"]: path for path, report in opened.items()}
        write_media(page, WantedMedia.of(key, pictures), files, on_progress)
        captions = {clip: row["caption"] for clip, row in rows.items()}
        (page / "index.html").write_text(render(key, captions, pictures), encoding="utf-8")
        _write_codes(partial / CODES, key)
        (partial / KEY).write_bytes(canonical_json(key))
        for path in page.rglob("*"):
            os.utime(path, (_TIME, _TIME))
    return MadeStudy(folder, key, existed=False)


def check_comparable(reports: Mapping[Path, EvaluationReport]) -> None:
    """Raises AnimaticError, naming the difference, unless these are two or more reports of one protocol and
    its clips, of different systems."""
    if len(reports) < 2:
        raise AnimaticError("a study compares two or more systems: name a report of each")
    (first_path, first), *others = reports.items()
    for path, report in others:
        difference = mismatch(first, report, only=())
        if difference is not None:
            raise AnimaticError(
                f"{first_path} and {path} are not of the same clips: their {difference}; evaluate both "
                "systems on the same data, with the same options"
            )
    seen: dict[str, Path] = {}
    for path, report in reports.items():
        if report["digest"] in seen:
            raise AnimaticError(f"{path} and {seen[report['digest']]} are the same report")
        seen[report["digest"]] = path


def design_study(reports: Sequence[EvaluationReport], settings: StudySettings) -> StudyKey:
    """The key of a study: what is compared, and what each rater sees. Errors as of :func:`make_study`."""
    digests = [report["digest"] for report in reports]
    names, rows = Names.of(digests, settings), reports[0]["clips"]
    compared = comparisons(names, digests, [row["key"] for row in rows])
    attention = attention_pairs(names, rows, settings.attention)
    tasks = schedule(names, compared, attention, settings)
    used = {task["pair"] for each in tasks.values() for task in each}
    key: StudyKey = {
        "format": KEY_FORMAT,
        "study": names.study,
        "seed": settings.seed,
        "protocol": reports[0]["protocol"],
        "systems": [_system(report) for report in reports],
        "comparisons": [each for each in compared if each["pair"] in used],
        "attention": attention,
        "raters": tasks,
        "digest": "",
    }
    return sealed(key)


def _system(report: EvaluationReport) -> StudySystem:
    made = report["system"]
    return {
        "name": made["name"],
        "kind": made["kind"],
        "digest": made["digest"],
        "report": report["digest"],
    }


def _require_same(folder: Path, key: StudyKey) -> StudyKey:
    """The key of an existing study, if it is this one."""
    if (folder / KEY).is_file() and read_key(folder) == key:
        return key
    raise AnimaticError(f"{folder} exists and does not contain this study: choose another --out")


def _write_codes(path: Path, key: StudyKey) -> None:
    """A line for each rater: the code, and what follows the address of the page's folder."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rater", "link"))
        writer.writerows((code, f"index.html?rater={code}") for code in key["raters"])
