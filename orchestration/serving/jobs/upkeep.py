"""Upkeep of the job store, by any process at any time: lost replicas, cancellations, expiry."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, RowMapping, and_, case, delete, func, or_, select, update

from orchestration.serving.jobs.claims import WAITING
from orchestration.serving.jobs.database import Database
from orchestration.serving.jobs.queue import find
from orchestration.serving.jobs.records import ACTIVE, Job, JobError
from orchestration.serving.jobs.rows import job_of, jobs_of
from orchestration.serving.jobs.tables import jobs

_ACTIVE = tuple(sorted(ACTIVE))
_LOST = JobError(
    code="replica_lost",
    message="every replica that ran it was lost before its end: smaller settings may help, or another model",
)


def request_cancel(database: Database, job_id: str, keep_s: float) -> Job | None:
    """See :meth:`JobStore.request_cancel`."""
    with database.writing() as connection:
        now = database.now(connection)
        own = jobs.c.id == job_id
        waiting = update(jobs).where(own, jobs.c.state == "queued")
        connection.execute(waiting.values(state="cancelled", cancel=True, ended=now, expires=now + keep_s))
        connection.execute(update(jobs).where(own, jobs.c.state == "in_progress").values(cancel=True))
        return find(connection, job_id)


def remove(database: Database, job_id: str) -> Job | None:
    """See :meth:`JobStore.delete`."""
    with database.writing() as connection:
        job = find(connection, job_id)
        if job is None or job.state in ACTIVE:
            return None
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
        return job


def requeue_abandoned(database: Database, attempts: int, keep_s: float) -> int:
    """See :meth:`JobStore.requeue_abandoned`."""
    with database.writing() as connection:
        now = database.now(connection)
        expired = and_(jobs.c.state == "in_progress", jobs.c.lease < now)
        if connection.execute(select(jobs.c.seq).where(expired).limit(1)).first() is None:
            return 0
        # Whole batches, so that they are claimed again as they were: their replica is gone.
        batches = select(jobs.c.batch).where(expired)
        abandoned = and_(jobs.c.state == "in_progress", jobs.c.batch.in_(batches))
        final = or_(jobs.c.cancel.is_(True), jobs.c.lost + 1 >= attempts)
        state = case(
            (jobs.c.cancel.is_(True), "cancelled"), (jobs.c.lost + 1 >= attempts, "failed"), else_="queued"
        )
        error = case(
            (and_(jobs.c.cancel.is_(False), jobs.c.lost + 1 >= attempts), _LOST.model_dump_json()),
            else_=None,
        )
        ended = {"ended": case((final, now), else_=None), "expires": case((final, now + keep_s), else_=None)}
        changed = connection.execute(
            update(jobs)
            .where(abandoned)
            .values(state=state, error=error, lost=jobs.c.lost + 1, **ended, **WAITING)
        )
        return changed.rowcount


def fail_unservable(database: Database, served: Collection[str], after_s: float, keep_s: float) -> int:
    """See :meth:`JobStore.fail_unservable`."""
    error = JobError(
        code="model_unavailable", message="no replica serves this model any more: see GET /v1/models"
    )
    with database.writing() as connection:
        now = database.now(connection)
        changed = connection.execute(
            update(jobs)
            .where(
                jobs.c.state == "queued",
                jobs.c.created < now - after_s,
                jobs.c.model.not_in(sorted(served)),
            )
            .values(state="failed", error=error.model_dump_json(), ended=now, expires=now + keep_s)
        )
        return changed.rowcount


def spent_objects(database: Database, most_bytes: int, keep_s: float) -> list[str]:
    """See :meth:`JobStore.spent_objects`."""
    with database.writing() as connection:
        now = database.now(connection)
        expired = _expired(connection, now, keep_s)
        return [*_pictures(connection), *expired, *_oldest(connection, most_bytes, now + keep_s)]


def known_objects(database: Database) -> tuple[frozenset[str], frozenset[str]]:
    """See :meth:`JobStore.known_objects`."""
    with database.reading() as connection:
        rows = connection.execute(select(jobs)).mappings().all()
    found = jobs_of(rows)
    stored = frozenset(
        name
        for job, row in zip(found, rows, strict=True)
        for name in (job.objects if row["pictures"] else job.clips)
    )
    return stored, frozenset(job.id for job in found if job.state in ACTIVE)


def _pictures(connection: Connection) -> list[str]:
    """Those of jobs that have ended."""
    ended = and_(jobs.c.state.not_in(_ACTIVE), jobs.c.pictures.is_(True))
    names = []
    for row in connection.execute(select(jobs).where(ended)).mappings().all():
        pictures = job_of(row).spec.pictures
        names += [picture.name for picture in pictures]
        size = sum(picture.bytes for picture in pictures)
        connection.execute(
            update(jobs).where(jobs.c.seq == row["seq"]).values(pictures=False, bytes=jobs.c.bytes - size)
        )
    return names


def _expired(connection: Connection, now: float, keep_s: float) -> list[str]:
    """Clips whose time is over; rows go when they have been without a clip for as long again."""
    over = and_(jobs.c.state.not_in(_ACTIVE), jobs.c.expires < now, jobs.c.pictures.is_(False))
    found = connection.execute(select(jobs).where(over)).mappings().all()
    kept = [row for row in found if row["state"] == "completed"]
    gone = [row["seq"] for row in found if row["state"] != "completed"]
    connection.execute(delete(jobs).where(jobs.c.seq.in_(gone)))
    return _forget_clips(connection, kept, now + keep_s)


def _oldest(connection: Connection, most_bytes: int, until: float) -> list[str]:
    """The oldest clips, as long as all objects are more than the operator allows."""
    total = stored_bytes(connection)
    if total <= most_bytes:
        return []
    ended = select(jobs).where(jobs.c.state == "completed").order_by(jobs.c.ended)
    removed = []
    for row in connection.execute(ended).mappings().all():
        if total <= most_bytes:
            break
        removed.append(row)
        total -= row["bytes"]
    return _forget_clips(connection, removed, until)


def stored_bytes(connection: Connection) -> int:
    """Of all objects in the results store."""
    return int(connection.execute(select(func.coalesce(func.sum(jobs.c.bytes), 0))).scalar_one())


def _forget_clips(connection: Connection, rows: Sequence[RowMapping], until: float) -> list[str]:
    """Let completed jobs expire. The names of their clips."""
    expired = update(jobs).where(jobs.c.seq.in_([row["seq"] for row in rows]))
    connection.execute(expired.values(state="expired", mp4=None, gif=None, bytes=0, expires=until))
    return [name for job in jobs_of(rows) for name in job.clips]
