"""The job store: what the API and the replicas share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select

from orchestration.serving.counters import Sample
from orchestration.serving.jobs import claims, service_state, upkeep
from orchestration.serving.jobs import queue as queueing
from orchestration.serving.jobs.database import Database
from orchestration.serving.jobs.records import (
    Clip,
    Hold,
    Job,
    JobSpec,
    JobState,
    MadeBy,
    ReplicaReport,
    ReplicaStatus,
    Submission,
)
from orchestration.serving.jobs.tables import jobs
from orchestration.serving.settings import LimitSettings

_UNSERVED_S = 60.0


@dataclass(frozen=True)
class StoreRules:
    """What the operator decides.

    Attributes:
        lease_s: after which a claimed job whose replica does not report is abandoned.
        attempts: that may be lost before a job fails.
        keep_s: for which clips can be fetched after the end.
        max_bytes: of pictures and clips.
    """

    lease_s: float = 30.0
    attempts: int = 3
    keep_s: float = 24 * 3600.0
    max_bytes: int = 20 * 2**30


class JobStore:
    """Jobs, reports of replicas, rollbacks and counters in a database.

    Jobs that end without a replica are counted here, in the transaction that ends them.

    Safe for threads; each process opens its own. Every method raises JobStoreError where the database does
    not answer: what it would have written is then either whole or not there.
    """

    def __init__(
        self, url: str, rules: StoreRules | None = None, *, clock: Callable[[], float] | None = None
    ) -> None:
        """See :class:`orchestration.serving.jobs.database.Database` for the URL, the clock and the errors."""
        self._database = Database(url, clock)
        self._rules = rules or StoreRules()

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine can use it."""
        return self._database.is_sqlite

    def __str__(self) -> str:
        return self._database.name

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    # What clients ask.

    def submit(
        self, spec: JobSpec, owner: str, limits: LimitSettings, idempotency: tuple[str, str] | None = None
    ) -> Submission:
        """Accept a job. It is durable when this returns.

        Args:
            idempotency: the client's key, and the digest of the request: the same ones give the same job.

        Raises:
            IdempotencyConflictError: the owner used the key for another request.
            RateLimitedError, QueueFullError, StorageFullError: a limit is reached; try again later.
        """
        return queueing.submit(self._database, spec, owner, limits, idempotency, self._rules.max_bytes)

    def submitted(self, owner: str, idempotency: tuple[str, str]) -> Job | None:
        """The job that this key was used for, if any; arguments as of :meth:`submit`.

        Raises:
            IdempotencyConflictError: it was used for another request.
        """
        with self._database.reading() as connection:
            return queueing.submitted(connection, owner, idempotency)

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job; None if there is none, or not of this owner."""
        with self._database.reading() as connection:
            return queueing.find(connection, job_id, owner)

    def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Those jobs that exist, by id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.id.in_(job_ids))).mappings().all()
            return {job.id: job for job in queueing.with_positions(connection, list(rows))}

    def listed(
        self,
        owner: str | None,
        *,
        limit: int,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
        state: JobState | None = None,
    ) -> list[Job]:
        """Jobs by acceptance, of an owner or of all, beginning after the one of id ``after``."""
        statement = select(jobs)
        if owner is not None:
            statement = statement.where(jobs.c.owner == owner)
        if state is not None:
            statement = statement.where(jobs.c.state == state)
        if after is not None:
            last = select(jobs.c.seq).where(jobs.c.id == after).scalar_subquery()
            statement = statement.where(jobs.c.seq > last if order == "asc" else jobs.c.seq < last)
        by = jobs.c.seq.asc() if order == "asc" else jobs.c.seq.desc()
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(by).limit(limit)).mappings().all()
            return queueing.with_positions(connection, [*rows])

    def request_cancel(self, job_id: str) -> Job | None:
        """Cancel a job: one that waits at once, one that runs when its replica has stopped.

        A job that has ended stays as it is. None if there is no such job.
        """
        return upkeep.request_cancel(self._database, job_id, self._rules.keep_s)

    def delete(self, job_id: str) -> Job | None:
        """Remove an ended job, and return it: its objects are the caller's to remove.

        None if it is active, or gone.
        """
        return upkeep.remove(self._database, job_id)

    # What replicas do.

    def claim(self, replica: str, models: Collection[str], most: int) -> list[Job]:
        """Claim the next batch: up to ``most`` jobs of one shape for one of these models; none if none waits.

        Batches that were abandoned come first, with the members that they had, whatever ``most`` is: so they
        give the same bytes.
        """
        if not models:
            return []
        return claims.claim(self._database, replica, models, most, self._rules.lease_s)

    def progress(
        self, claimed: Sequence[Job], step: int, steps: int, remaining_s: float | None
    ) -> frozenset[str]:
        """Record progress and renew the leases. The ids of those whose owners want them cancelled.

        Raises LeaseLostError, and changes nothing, if one of them is not this replica's any more.
        """
        return claims.progress(self._database, claimed, step, steps, remaining_s, self._rules.lease_s)

    def complete(self, job: Job, made_by: MadeBy, mp4: Clip, gif: Clip | None) -> None:
        """The clip is in the results store. Raises LeaseLostError.

        May be repeated after a JobStoreError, as :meth:`fail` and :meth:`cancelled`.
        """
        claims.complete(self._database, job, made_by, mp4, gif, self._rules.keep_s)

    def fail(self, job: Job, code: str, message: str) -> None:
        """The job cannot be completed. Raises LeaseLostError."""
        claims.fail(self._database, job, code, message, self._rules.keep_s)

    def cancelled(self, job: Job) -> None:
        """No device works on the job any more. Raises LeaseLostError."""
        claims.cancelled(self._database, job, self._rules.keep_s)

    def release(self, claimed: Sequence[Job]) -> None:
        """Put jobs back into the queue: their replica stops. Those that were to be cancelled are.

        Raises LeaseLostError, and changes nothing, if one of them is not this replica's any more.
        """
        claims.release(self._database, claimed, self._rules.keep_s)

    # Upkeep, by any process at any time.

    def requeue_abandoned(self) -> int:
        """Put the jobs of lost replicas back, whole batches together; the number of them.

        Those that were to be cancelled are; those that lost ``attempts`` replicas fail as ``replica_lost``.
        Each job has its last attempt alone: another of its batch may be what the replicas were lost by.
        """
        rules = self._rules
        return upkeep.requeue_abandoned(self._database, rules.attempts, rules.keep_s, rules.lease_s)

    def fail_unservable(self, after_s: float = _UNSERVED_S) -> int:
        """Fail jobs that wait longer for a model that live replicas do not serve; the number of them.

        Nothing happens until a live replica has served something for as long: the service may be starting.
        """
        return upkeep.fail_unservable(self._database, self.replicas(), after_s, self._rules.keep_s)

    def spent_objects(self) -> list[str]:
        """Forget objects of the results store that nobody needs any more; their names, to be removed.

        They are pictures of ended jobs, expired clips, and the oldest clips while all objects are more than
        ``max_bytes``; some hundreds at a time.
        """
        return upkeep.spent_objects(self._database, self._rules.max_bytes, self._rules.keep_s)

    def known_objects(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of all objects that jobs have, and the ids of active jobs, which may write more."""
        return upkeep.known_objects(self._database)

    # The service as a whole.

    def count_states(self) -> dict[str, int]:
        """Number of jobs by state."""
        with self._database.reading() as connection:
            rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
        return {row[0]: int(row[1]) for row in rows}

    def oldest_wait_s(self) -> float:
        """Seconds for which the job waits that waits longest; 0 if none does."""
        with self._database.reading() as connection:
            waiting = select(func.min(jobs.c.created)).where(jobs.c.state == "queued")
            oldest = connection.scalar(waiting)
            return 0.0 if oldest is None else max(0.0, self._database.now(connection) - oldest)

    def stored_bytes(self) -> int:
        """Of all objects in the results store."""
        with self._database.reading() as connection:
            return upkeep.stored_bytes(connection)

    def report(self, status: ReplicaReport) -> None:
        """Record what a replica reports of itself: often, since it counts as lost otherwise."""
        service_state.report(self._database, status)

    def replicas(self) -> list[ReplicaStatus]:
        """The reports of all replicas, lost ones too."""
        return service_state.reports(self._database)

    def forget(self, replica: str) -> None:
        """Remove the report of a replica that has stopped."""
        service_state.forget(self._database, replica)

    def hold(self, model: str, manifest: str, serve: str, actor: str) -> Hold:
        """Record a rollback: of ``manifest`` to ``serve``. It replaces a former one of this model."""
        return service_state.hold(self._database, model, manifest, serve, actor)

    def lift_hold(self, model: str, manifest: str | None = None) -> bool:
        """End a rollback, or only the one of this manifest; whether there was one."""
        return service_state.lift_hold(self._database, model, manifest)

    def holds(self) -> list[Hold]:
        """All rollbacks in force."""
        return service_state.all_holds(self._database)

    def count(self, increments: Mapping[Sample, float]) -> None:
        """Add to counters, which survive restarts."""
        if increments:
            service_state.count(self._database, increments)

    def counters(self) -> dict[Sample, float]:
        """All counters."""
        return service_state.all_counters(self._database)
