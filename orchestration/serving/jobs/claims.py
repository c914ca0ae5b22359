"""Claiming jobs, and what the replica that has claimed them reports.

A claim is fenced by the replica's name and the number of the attempt: after its lease has ended and another
replica has claimed the job, or it was put back, nothing that the former one reports has an effect.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, or_, select, update

from orchestration.serving.jobs.database import Database
from orchestration.serving.jobs.queue import in_order
from orchestration.serving.jobs.records import Clip, Job, JobError, LeaseLostError, MadeBy
from orchestration.serving.jobs.rows import jobs_of
from orchestration.serving.jobs.tables import jobs

# Heads of the queue that are tried: others may be claiming the first ones at this moment.
_HEADS = 16


def claim(database: Database, replica: str, models: Collection[str], most: int, lease_s: float) -> list[Job]:
    """The next batch; see :meth:`JobStore.claim`."""
    for_these = jobs.c.model.in_(sorted(models))
    with database.reading() as connection:  # most looks find nothing, and need not write
        waiting = select(jobs.c.seq).where(jobs.c.state == "queued", for_these)
        if connection.execute(waiting.limit(1)).first() is None:
            return []
    with database.writing() as connection:
        columns = (jobs.c.seq, jobs.c.shape, jobs.c.batch)
        order = in_order().with_only_columns(*columns).where(for_these)
        for members in _batches(connection.execute(order).mappings().all(), most):
            locked = _lock(database, connection, members)
            if locked:
                return _start(database, connection, locked, replica, lease_s, members[0]["batch"])
    return []


def progress(
    database: Database,
    claimed: Sequence[Job],
    step: int,
    steps: int,
    remaining_s: float | None,
    lease_s: float,
) -> frozenset[str]:
    """See :meth:`JobStore.progress`."""
    with database.writing() as connection:
        until = database.now(connection) + lease_s
        written = connection.execute(
            update(jobs)
            .where(or_(*(_held(job) for job in claimed)))
            .values(step=step, steps=steps, remaining=remaining_s, lease=until)
        )
        if written.rowcount != len(claimed):
            raise LeaseLostError(f"of {len(claimed)} jobs {written.rowcount} are this replica's")
        wanted_gone = select(jobs.c.id).where(
            jobs.c.id.in_([job.id for job in claimed]), jobs.c.cancel.is_(True)
        )
        return frozenset(connection.scalars(wanted_gone))


def complete(
    database: Database, job: Job, made_by: MadeBy, mp4: Clip, gif: Clip | None, keep_s: float
) -> None:
    """See :meth:`JobStore.complete`."""
    pictures = sum(picture.bytes for picture in job.spec.pictures)
    values = {
        "state": "completed",
        "made_by": made_by.model_dump_json(),
        "mp4": mp4.model_dump_json(),
        "gif": None if gif is None else gif.model_dump_json(),
        "bytes": pictures + mp4.bytes + (0 if gif is None else gif.bytes),
        "remaining": None,
        "step": jobs.c.steps,
    }
    _end(database, job, values, keep_s)


def fail(database: Database, job: Job, code: str, message: str, keep_s: float) -> None:
    """See :meth:`JobStore.fail`."""
    error = JobError(code=code, message=message).model_dump_json()
    _end(database, job, {"state": "failed", "error": error}, keep_s)


def cancelled(database: Database, job: Job, keep_s: float) -> None:
    """See :meth:`JobStore.cancelled`."""
    _end(database, job, {"state": "cancelled"}, keep_s)


def release(database: Database, claimed: Sequence[Job], keep_s: float) -> None:
    """See :meth:`JobStore.release`."""
    with database.writing() as connection:
        until = database.now(connection) + keep_s
        gone = jobs.c.cancel.is_(True)
        values = {
            "state": case((gone, "cancelled"), else_="queued"),
            "ended": case((gone, until - keep_s), else_=None),
            "expires": case((gone, until), else_=None),
        }
        for job in claimed:
            written = connection.execute(update(jobs).where(_held(job)).values(**values, **WAITING))
            if written.rowcount != 1:
                raise LeaseLostError(f"{job.id} is not this replica's any more")


# What a job in the queue has not; its batch stays, so that the next attempt makes the same bytes.
WAITING = {"replica": None, "lease": None, "step": None, "steps": None, "remaining": None}


def _batches(order: Sequence[RowMapping], most: int) -> Iterator[list[RowMapping]]:
    """Batches in the order of their first jobs: one that was abandoned as it was, or jobs of one shape."""
    seen: set[str] = set()
    for number, head in enumerate(order[:_HEADS]):
        if head["batch"] is None:
            rest = (row for row in order[number + 1 :] if row["batch"] is None)
            yield [head, *(row for row in rest if row["shape"] == head["shape"])][:most]
        elif head["batch"] not in seen:
            seen.add(head["batch"])
            yield sorted(
                (row for row in order if row["batch"] == head["batch"]), key=lambda row: int(row["seq"])
            )


def _lock(database: Database, connection: Connection, members: Sequence[RowMapping]) -> list[int]:
    """Those that are this replica's to start; none if another claims the first of them at this moment.

    The first is locked before the others, so that two replicas never share an abandoned batch.
    """
    first = members[0]["seq"]
    # Since the queue was read, any of them may have been claimed, and put back with a batch.
    free = select(jobs.c.seq).where(
        jobs.c.state == "queued", jobs.c.batch.is_not_distinct_from(members[0]["batch"])
    )
    if not connection.scalars(database.skip_locked(free.where(jobs.c.seq == first))).all():
        return []
    others = [row["seq"] for row in members[1:]]
    return [first, *connection.scalars(database.skip_locked(free.where(jobs.c.seq.in_(others))))]


def _start(
    database: Database,
    connection: Connection,
    members: Sequence[int],
    replica: str,
    lease_s: float,
    batch: str | None,
) -> list[Job]:
    now = database.now(connection)
    connection.execute(
        update(jobs)
        .where(jobs.c.seq.in_(members))
        .values(
            state="in_progress", replica=replica, batch=batch or secrets.token_hex(16), started=now,
            lease=now + lease_s, attempt=jobs.c.attempt + 1,
        )
    )  # fmt: skip
    found = select(jobs).where(jobs.c.seq.in_(members)).order_by(jobs.c.seq)
    return jobs_of(connection.execute(found).mappings().all())


def _held(job: Job) -> ColumnElement[bool]:
    return and_(
        jobs.c.id == job.id,
        jobs.c.state == "in_progress",
        jobs.c.replica == job.replica,
        jobs.c.attempt == job.attempt,
    )


def _end(database: Database, job: Job, values: Mapping[str, object], keep_s: float) -> None:
    with database.writing() as connection:
        now = database.now(connection)
        ended = update(jobs).where(_held(job)).values(**values, ended=now, expires=now + keep_s, lease=None)
        if connection.execute(ended).rowcount == 1:
            return
        # A repetition, where the connection was lost before the answer to the first.
        own = and_(jobs.c.id == job.id, jobs.c.replica == job.replica, jobs.c.attempt == job.attempt)
        done = select(jobs.c.seq).where(own, jobs.c.state == values["state"])
        if connection.execute(done).first() is None:
            raise LeaseLostError(f"{job.id} is not this replica's any more")
