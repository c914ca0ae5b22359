"""Submitting jobs, and the order in which they are claimed."""

from __future__ import annotations

import secrets
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, Select, func, insert, select

from orchestration.serving.jobs.database import Database
from orchestration.serving.jobs.records import (
    IdempotencyConflictError,
    Job,
    JobSpec,
    JobStoreError,
    QueueFullError,
    RateLimitedError,
    StorageFullError,
    Submission,
)
from orchestration.serving.jobs.rows import job_of, shape_of
from orchestration.serving.jobs.tables import jobs
from orchestration.serving.settings import LimitSettings

_MINUTE_S = 60.0
# Until enough jobs have ended to know better.
_USUAL_RUN_S = 10.0
_RECENT = 20
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 1.0, 600.0


def submit(
    database: Database,
    spec: JobSpec,
    owner: str,
    limits: LimitSettings,
    idempotency: tuple[str, str] | None,
    most_bytes: int,
) -> Submission:
    """Put a job into the queue, or find the one of its idempotency key; see :meth:`JobStore.submit`."""
    with database.writing() as connection:
        database.serialise(connection)
        if idempotency is not None:
            former = _submitted(connection, owner, idempotency)
            if former is not None:
                return Submission(former, created=False)
        now = database.now(connection)
        _check_limits(connection, owner, limits, now)
        size = sum(picture.bytes for picture in spec.pictures)
        _check_room(connection, size, most_bytes)
        job_id = f"video_{secrets.token_hex(16)}"
        key, request = idempotency or (None, None)
        connection.execute(
            insert(jobs).values(
                id=job_id, owner=owner, state="queued", model=spec.model, shape=shape_of(spec),
                spec=spec.model_dump_json(), idempotency=key, request=request, created=now, attempt=0,
                lost=0, cancel=False, pictures=True, bytes=size,
            )
        )  # fmt: skip
        job = find(connection, job_id)
    if job is None:
        raise JobStoreError(f"the job store {database.name} lost a job that it had accepted")
    return Submission(job, created=True)


def find(connection: Connection, job_id: str, owner: str | None = None) -> Job | None:
    """A job with its position; only of this owner if one is given."""
    statement = select(jobs).where(jobs.c.id == job_id)
    if owner is not None:
        statement = statement.where(jobs.c.owner == owner)
    row = connection.execute(statement).mappings().first()
    if row is None:
        return None
    return with_positions(connection, [row])[0]


def with_positions(connection: Connection, rows: list[RowMapping]) -> list[Job]:
    """The jobs of rows; queued ones know their positions."""
    found = [job_of(row) for row in rows]
    if not any(job.state == "queued" for job in found):
        return found
    order = connection.scalars(in_order().with_only_columns(jobs.c.id)).all()
    positions = {job_id: number for number, job_id in enumerate(order, 1)}
    return [replace(job, position=positions.get(job.id)) for job in found]


def in_order() -> Select[tuple[object, ...]]:
    """Queued jobs in the order in which they are claimed.

    Abandoned ones first. Then owners in turn: an owner's n-th job, counted from those that run, comes after
    the (n-1)-th of every other, and the oldest first among equals.
    """
    running = (
        select(jobs.c.owner, func.count().label("running"))
        .where(jobs.c.state == "in_progress")
        .group_by(jobs.c.owner)
        .subquery()
    )
    rank = func.row_number().over(partition_by=jobs.c.owner, order_by=jobs.c.seq)
    turn = rank + func.coalesce(running.c.running, 0)
    return (
        select(jobs)
        .outerjoin(running, running.c.owner == jobs.c.owner)
        .where(jobs.c.state == "queued")
        .order_by(jobs.c.batch.is_(None), turn, jobs.c.seq)
    )


def _submitted(connection: Connection, owner: str, idempotency: tuple[str, str]) -> Job | None:
    key, request = idempotency
    where = (jobs.c.owner == owner) & (jobs.c.idempotency == key)
    row = connection.execute(select(jobs).where(where)).mappings().first()
    if row is None:
        return None
    if row["request"] != request:
        raise IdempotencyConflictError(
            f"the Idempotency-Key {key[:60]!r} was used for another request, {row['id']}: use a new key for "
            "a new request"
        )
    return with_positions(connection, [row])[0]


def _check_limits(connection: Connection, owner: str, limits: LimitSettings, now: float) -> None:
    waiting = select(func.count()).select_from(jobs).where(jobs.c.state == "queued")
    own = jobs.c.owner == owner
    recent = select(func.count()).select_from(jobs).where(own, jobs.c.created > now - _MINUTE_S)
    if connection.execute(recent).scalar_one() >= limits.requests_per_minute:
        oldest = connection.scalar(
            select(func.min(jobs.c.created)).where(own, jobs.c.created > now - _MINUTE_S)
        )
        raise RateLimitedError(
            f"this key may submit {limits.requests_per_minute} videos a minute",
            max(_SHORTEST_WAIT_S, (oldest or now) + _MINUTE_S - now),
        )
    queued = connection.execute(waiting).scalar_one()
    if queued >= limits.queue:
        raise QueueFullError(f"{queued} videos wait, and no more may", _until_room(connection))
    own_queued = connection.execute(waiting.where(own)).scalar_one()
    if own_queued >= limits.queue_per_key:
        raise QueueFullError(
            f"{own_queued} videos of this key wait, and no more may", _until_room(connection)
        )


def _until_room(connection: Connection) -> float:
    """Seconds until a job of the queue will have started, by what recent jobs took."""
    recent = (
        select(jobs.c.ended - jobs.c.started)
        .where(jobs.c.state == "completed", jobs.c.started.is_not(None))
        .order_by(jobs.c.ended.desc())
        .limit(_RECENT)
    )
    took = sorted(connection.scalars(recent).all()) or [_USUAL_RUN_S]
    replicas = connection.execute(
        select(func.count(jobs.c.replica.distinct())).where(jobs.c.state == "in_progress")
    ).scalar_one()
    wait = took[len(took) // 2] / max(1, replicas)
    return min(_LONGEST_WAIT_S, max(_SHORTEST_WAIT_S, wait))


def _check_room(connection: Connection, size: int, most_bytes: int) -> None:
    active = select(func.coalesce(func.sum(jobs.c.bytes), 0)).where(
        jobs.c.state.in_(("queued", "in_progress"))
    )
    waiting = int(connection.execute(active).scalar_one())
    if waiting + size > most_bytes:
        raise StorageFullError(
            f"the pictures of videos that wait take {waiting} of {most_bytes} bytes, and this request needs "
            f"{size}: try again later",
            _until_room(connection),
        )
