"""Figures of rendered and of real held-out clips apart: the network is better at one than at the other."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from orchestration.demo.collection import Collection
from pipelines.evaluate import ClipRow, EvaluationReport
from pipelines.evaluate.statistics.intervals import Interval, mean_interval

RENDERED, REAL = "rendered", "real"
_RENDERED_DIRS = "rendered_"


@dataclass(frozen=True)
class KindFigures:
    """Figures of the clips of one kind.

    ``kind``: rendered or real; ``first_frame``: PSNR against the picture in dB; ``travel`` of the generated
    and ``travel_on_real`` of the real clips, in sides of the picture.
    """

    kind: str
    n: int
    first_frame: Interval
    travel: float
    travel_on_real: float


def held_out_folders(out: Path) -> dict[str, str]:
    """Source video → ``page_dir`` in the table of held-out footage; empty where that was deleted."""
    table = Collection(out / "footage").held_out
    if not table.exists():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        return {row["videoid"]: row["page_dir"] for row in csv.DictReader(file)}


def kind_of(page_dir: str) -> str:
    """Whether footage was rendered or recorded."""
    return RENDERED if page_dir.startswith(_RENDERED_DIRS) else REAL


def by_kind(report: EvaluationReport, folders: Mapping[str, str]) -> dict[str, KindFigures]:
    """Kind → figures of its clips; clips whose source is not in ``folders`` do not count."""
    rows: dict[str, list[ClipRow]] = {}
    for row in report["clips"]:
        if row["source"] in folders:
            rows.setdefault(kind_of(folders[row["source"]]), []).append(row)
    return {kind: _figures(kind, rows[kind]) for kind in (RENDERED, REAL) if kind in rows}


def _figures(kind: str, rows: list[ClipRow]) -> KindFigures:
    return KindFigures(
        kind=kind,
        n=len(rows),
        first_frame=mean_interval(_column(rows, "first_frame_psnr"), [row["source"] for row in rows]),
        travel=fmean(_column(rows, "travel")),
        travel_on_real=fmean(_column(rows, "travel_on_real")),
    )


def _column(rows: list[ClipRow], metric: str) -> list[float]:
    """The values of a metric that every clip has."""
    values = [row["metrics"][metric] for row in rows]
    return [value for value in values if value is not None]
