"""Submitting jobs, and the order in which they are claimed."""

from __future__ import annotations

import secrets
import statistics
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, Select, Subquery, delete, func, insert, or_, select

from orchestration.serving.jobs.database import Database, Lock
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
from orchestration.serving.jobs.tables import jobs, submissions
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
        database.serialise(connection, Lock.SUBMISSION)
        if idempotency is not None:
            former = submitted(connection, owner, idempotency)
            if former is not None:
                return Submission(former, created=False)
        now = database.now(connection)
        _check_rate(connection, owner, limits.requests_per_minute, now)
        _check_queue(connection, owner, limits)
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
        connection.execute(insert(submissions).values(owner=owner, at=now))
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
    the (n-1)-th of every other. Among equals the owner is first whose last start was longest ago, so that
    one whose jobs end at once does not take every turn.
    """
    owners = _owners()
    rank = func.row_number().over(partition_by=jobs.c.owner, order_by=jobs.c.seq)
    first = func.min(jobs.c.seq).over(partition_by=jobs.c.owner)
    return (
        select(jobs)
        .join(owners, owners.c.owner == jobs.c.owner)
        .where(jobs.c.state == "queued")
        .order_by(jobs.c.batch.is_(None), rank + owners.c.running, owners.c.started, first, jobs.c.seq)
    )


def _owners() -> Subquery:
    """Owners of queued jobs: how many of theirs run, and when one started last."""
    waiting = select(jobs.c.owner).where(jobs.c.state == "queued").distinct().subquery()
    other = jobs.alias()
    own = other.c.owner == waiting.c.owner
    running = select(func.count()).select_from(other).where(own, other.c.state == "in_progress")
    started = select(func.max(other.c.started)).where(own)  # alone, to be read from the index
    return select(
        waiting.c.owner,
        running.scalar_subquery().label("running"),
        func.coalesce(started.scalar_subquery(), 0.0).label("started"),
    ).subquery()


def submitted(connection: Connection, owner: str, idempotency: tuple[str, str]) -> Job | None:
    """See :meth:`JobStore.submitted`."""
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


def _check_rate(connection: Connection, owner: str, most: int, now: float) -> None:
    # A clock that was set back would count those from before it for longer than a minute.
    other = or_(submissions.c.at <= now - _MINUTE_S, submissions.c.at > now + _MINUTE_S)
    connection.execute(delete(submissions).where(other))
    recent = select(func.count(), func.min(submissions.c.at)).where(submissions.c.owner == owner)
    number, oldest = connection.execute(recent).one()
    if number >= most:
        raise RateLimitedError(
            f"this key may submit {most} videos a minute", max(_SHORTEST_WAIT_S, oldest + _MINUTE_S - now)
        )


def _check_queue(connection: Connection, owner: str, limits: LimitSettings) -> None:
    waiting = select(jobs.c.owner, func.count()).where(jobs.c.state == "queued").group_by(jobs.c.owner)
    numbers: dict[str, int] = {row[0]: row[1] for row in connection.execute(waiting)}
    queued, own = sum(numbers.values()), numbers.get(owner, 0)
    if queued >= limits.queue:
        raise QueueFullError(f"{queued} videos wait, and no more may", _until_start(connection, 1))
    if own >= limits.queue_per_key:
        # Owners take turns: as many jobs start before one of this owner's does.
        raise QueueFullError(
            f"{own} videos of this key wait, and no more may", _until_start(connection, len(numbers))
        )


def _until_start(connection: Connection, number: int) -> float:
    """Seconds until so many jobs of the queue will have started, by what recent ones took."""
    recent = (
        select(jobs.c.ended - jobs.c.started, jobs.c.batch)
        .where(jobs.c.state == "completed")
        .order_by(jobs.c.ended.desc())
        .limit(_RECENT)
    )
    rows = connection.execute(recent).all()
    seconds = statistics.median(row[0] for row in rows) if rows else _USUAL_RUN_S
    together = len(rows) / len({row[1] for row in rows}) if rows else 1.0
    running = select(func.count(jobs.c.replica.distinct())).where(jobs.c.state == "in_progress")
    replicas = max(1, connection.execute(running).scalar_one())
    return min(_LONGEST_WAIT_S, max(_SHORTEST_WAIT_S, number * seconds / (together * replicas)))


def _check_room(connection: Connection, size: int, most_bytes: int) -> None:
    active = select(func.coalesce(func.sum(jobs.c.bytes), 0)).where(
        jobs.c.state.in_(("queued", "in_progress"))
    )
    waiting = int(connection.execute(active).scalar_one())
    if waiting + size > most_bytes:
        raise StorageFullError(
            f"the pictures of videos that wait take {waiting} of {most_bytes} bytes, and this request needs "
            f"{size}: try again later",
            _until_start(connection, 1),
        )
