"""Rows of the table of jobs as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import RowMapping

from core.canonical_json import CANONICAL
from orchestration.serving.jobs.records import Clip, Job, JobError, JobSpec, MadeBy

Record = TypeVar("Record", bound=BaseModel)


def job_of(row: RowMapping | Mapping[str, Any], position: int | None = None) -> Job:
    """The job of a row."""
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=row["state"],
        spec=JobSpec.model_validate_json(row["spec"]),
        created=moment(row["created"]),
        started=_moment(row["started"]),
        ended=_moment(row["ended"]),
        expires=_moment(row["expires"]),
        attempt=row["attempt"],
        lost=row["lost"],
        batch=row["batch"],
        replica=row["replica"],
        step=row["step"],
        steps=row["steps"],
        remaining_s=row["remaining"],
        cancel_requested=row["cancel"],
        error=_record(JobError, row["error"]),
        made_by=_record(MadeBy, row["made_by"]),
        mp4=_record(Clip, row["mp4"]),
        gif=_record(Clip, row["gif"]),
        position=position,
    )


def jobs_of(rows: Iterable[RowMapping]) -> list[Job]:
    """The jobs of rows, without their positions."""
    return [job_of(row) for row in rows]


def shape_of(spec: JobSpec) -> str:
    """Equal for jobs that can be sampled together: all but the pictures, the prompt, the seed and the
    playback may not differ."""
    alike = spec.model_dump(mode="json", include={"model", "mode", "frames", "size", "sampling"})
    return CANONICAL.digest(alike)


def moment(seconds: float) -> datetime:
    """A time of the store."""
    return datetime.fromtimestamp(seconds, UTC)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _record(kind: type[Record], text: str | None) -> Record | None:
    return None if text is None else kind.model_validate_json(text)
