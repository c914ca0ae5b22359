"""Upkeep of the job store, by any process at any time: lost replicas, cancellations, expiry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Connection,
    Row,
    RowMapping,
    String,
    and_,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)

from orchestration.serving.counters import ENDED, LOST, Sample
from orchestration.serving.jobs.claims import WAITING
from orchestration.serving.jobs.database import Database, Lock
from orchestration.serving.jobs.queue import find
from orchestration.serving.jobs.records import ACTIVE, Job, JobError, ReplicaStatus
from orchestration.serving.jobs.rows import job_of, jobs_of
from orchestration.serving.jobs.service_state import add
from orchestration.serving.jobs.tables import jobs

_ACTIVE = tuple(sorted(ACTIVE))
# Jobs of one kind that one round cleans up: other writers wait for it.
_MOST = 500
_LOST = JobError(
    code="replica_lost",
    message="every replica that ran it was lost before its end: smaller settings may help, or another model",
)
_UNSERVED = JobError(
    code="model_unavailable", message="no replica serves this model any more: see GET /v1/models"
)


def request_cancel(database: Database, job_id: str, keep_s: float) -> Job | None:
    """See :meth:`JobStore.request_cancel`."""
    with database.writing() as connection:
        now = database.now(connection)
        waits = jobs.c.state == "queued"
        # One statement: between two of them a replica could start the job, or put it back.
        changed = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state.in_(_ACTIVE))
            .values(
                state=case((waits, "cancelled"), else_=jobs.c.state),
                cancel=True,
                ended=case((waits, now), else_=None),
                expires=case((waits, now + keep_s), else_=None),
            )
        )
        states = connection.scalars(changed.returning(jobs.c.state)).all()
        job = find(connection, job_id)
        if job is not None and "cancelled" in states:
            add(database, connection, ENDED.add(job.spec.model, "cancelled", ""))
        return job


def remove(database: Database, job_id: str) -> Job | None:
    """See :meth:`JobStore.delete`."""
    with database.writing() as connection:
        job = find(connection, job_id)
        if job is None or job.state in ACTIVE:
            return None
        removed = connection.execute(delete(jobs).where(jobs.c.id == job_id)).rowcount
        return job if removed == 1 else None


def requeue_abandoned(database: Database, attempts: int, keep_s: float, lease_s: float) -> int:
    """See :meth:`JobStore.requeue_abandoned`."""
    with database.reading() as connection:  # most looks find nothing, and need not write
        if not _abandoned(connection, database.now(connection), lease_s):
            return 0
    with database.writing() as connection:
        database.serialise(connection, Lock.UPKEEP)
        now = database.now(connection)
        # Whole batches, so that they are claimed again as they were: their replica is gone.
        abandoned = and_(
            jobs.c.state == "in_progress", jobs.c.batch.in_(_abandoned(connection, now, lease_s))
        )
        gone, lost = jobs.c.cancel.is_(True), jobs.c.lost + 1 >= attempts
        ended = or_(gone, lost)
        # One of them may be what its replicas were lost by: the others get an attempt without it.
        alone = and_(~ended, jobs.c.lost + 2 >= attempts)
        values = {
            "state": case((gone, "cancelled"), (lost, "failed"), else_="queued"),
            "error": case((and_(~gone, lost), _LOST.model_dump_json()), else_=None),
            "batch": case((alone, jobs.c.batch + "/" + cast(jobs.c.seq, String)), else_=jobs.c.batch),
            "ended": case((ended, now), else_=None),
            "expires": case((ended, now + keep_s), else_=None),
            "lost": jobs.c.lost + 1,
        }
        changed = update(jobs).where(abandoned).values(**values, **WAITING)
        rows = connection.execute(changed.returning(jobs.c.model, jobs.c.state)).all()
        _count(database, connection, rows, "replica_lost")
        add(database, connection, LOST.add(by=len(rows)))
        return len(rows)


def fail_unservable(
    database: Database, replicas: Sequence[ReplicaStatus], after_s: float, keep_s: float
) -> int:
    """See :meth:`JobStore.fail_unservable`."""
    live = [status for replica in replicas if replica.live for status in replica.models]
    versions = [status.serving for status in live if status.serving is not None]
    # One whose first version is on its way will be served.
    coming = {status.name for status in live if status.serving is None and status.desired is not None}
    # Videos that were accepted for the id of a bundle are made after its exchange, too.
    former = {status.former_bundle for status in live if status.former_bundle is not None}
    served = coming | former | {name for each in versions for name in (each.name, each.bundle_id)}
    with database.writing() as connection:
        now = database.now(connection)
        # While the service starts, models come one after the other.
        if not any(version.since.timestamp() < now - after_s for version in versions):
            return 0
        unservable = and_(
            jobs.c.state == "queued", jobs.c.created < now - after_s, jobs.c.model.not_in(sorted(served))
        )
        values = {"state": "failed", "error": _UNSERVED.model_dump_json(), "ended": now}
        changed = update(jobs).where(unservable).values(**values, expires=now + keep_s)
        rows = connection.execute(changed.returning(jobs.c.model, jobs.c.state)).all()
        _count(database, connection, rows, _UNSERVED.code)
        return len(rows)


def _abandoned(connection: Connection, now: float, lease_s: float) -> list[str]:
    """Batches with a lease that has ended, or that no replica renews since the clock was set back."""
    over = or_(jobs.c.lease < now, jobs.c.lease > now + 2 * lease_s)
    ended = and_(jobs.c.state == "in_progress", over)
    return [str(batch) for batch in connection.scalars(select(jobs.c.batch).where(ended).distinct())]


def _count(database: Database, connection: Connection, changed: Iterable[Row[str, str]], code: str) -> None:
    """Those of the jobs that have ended."""
    numbers = Counter((row[0], row[1]) for row in changed if row[1] not in ACTIVE)
    increments: dict[Sample, float] = {}
    for (model, state), number in numbers.items():
        increments |= ENDED.add(model, state, code if state == "failed" else "", by=number)
    add(database, connection, increments)


def spent_objects(database: Database, most_bytes: int, keep_s: float) -> list[str]:
    """See :meth:`JobStore.spent_objects`."""
    with database.writing() as connection:
        database.serialise(connection, Lock.UPKEEP)
        now = database.now(connection)
        pictures, expired = _pictures(connection), _expired(connection, now, keep_s)
        return [*pictures, *expired, *_oldest(connection, most_bytes, now + keep_s)]


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
    for row in connection.execute(select(jobs).where(ended).limit(_MOST)).mappings().all():
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
    found = connection.execute(select(jobs).where(over).limit(_MOST)).mappings().all()
    kept = [row for row in found if row["state"] == "completed"]
    gone = [row["seq"] for row in found if row["state"] != "completed"]
    connection.execute(delete(jobs).where(jobs.c.seq.in_(gone)))
    return _forget_clips(connection, kept, now + keep_s)


def _oldest(connection: Connection, most_bytes: int, until: float) -> list[str]:
    """The oldest clips, as long as all objects are more than the operator allows."""
    total = stored_bytes(connection)
    if total <= most_bytes:
        return []
    ended = select(jobs).where(jobs.c.state == "completed").order_by(jobs.c.ended).limit(_MOST)
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
