"""What happens in the service, in lines: read from the store, so that it comes from every replica."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestration.serving.jobs import ACTIVE, Job, JobStore, ModelStatus, ReplicaStatus

_NEWEST = 200
_SHORT_ID = 12


class Follower:
    """Compares the store with what it was at the last call."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._models: dict[tuple[str, str], ModelStatus] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._lost: set[str] = set()
        self._open: set[str] = set()
        self._newest: set[str] = set()
        self._last: datetime | None = None
        self._begun = False

    def lines(self) -> list[str]:
        """What has changed since the last call; of jobs at first nothing. Raises JobStoreError."""
        return [*self._of_replicas(), *self._of_jobs()]

    def ready(self, model: str) -> bool:
        """Whether a live replica serves this model, as of the last call of :meth:`lines`."""
        return any(
            name == model and status.serving is not None and replica not in self._lost
            for (replica, name), status in self._models.items()
        )

    def _of_replicas(self) -> Iterator[str]:
        for replica in self._store.replicas():
            yield from self._of_replica(replica)

    def _of_replica(self, replica: ReplicaStatus) -> Iterator[str]:
        name = replica.replica
        if not replica.live:
            # One that had ended before this process began is no news.
            if name not in self._lost and name in self._notes:
                yield f"replica {name} does not report any more: its videos run again elsewhere"
            self._lost.add(name)
            return
        if name not in self._notes:
            yield f"replica {name} began, on {replica.device}"
        elif name in self._lost:
            yield f"replica {name} reports again"
        self._lost.discard(name)
        former = self._notes.get(name, ())
        yield from (f"replica {name}: {note}" for note in replica.notes if note not in former)
        self._notes[name] = replica.notes
        for status in replica.models:
            yield from _of_model(name, self._models.get((name, status.name)), status)
            self._models[name, status.name] = status

    def _of_jobs(self) -> Iterator[str]:
        newest = self._store.listed(None, limit=_NEWEST)
        # By time, too: where some were removed, older ones are among the newest again.
        known, last, begun = self._newest, self._last, self._begun
        self._newest, self._begun = {job.id for job in newest}, True
        self._last = newest[0].created if newest else last
        if not begun:
            self._open = {job.id for job in newest if job.state in ACTIVE}
            return
        fresh = [job for job in newest if job.id not in known and (last is None or job.created >= last)]
        fresh_ids = {job.id for job in fresh}
        before = self._store.get_many(sorted(self._open - fresh_ids))
        for job in [*before.values(), *reversed(fresh)]:
            if job.state not in ACTIVE:
                yield _ended(job)
        self._open = {job.id for job in (*before.values(), *fresh) if job.state in ACTIVE}


def _of_model(replica: str, before: ModelStatus | None, now: ModelStatus) -> Iterator[str]:
    """Changes of a model on a replica."""
    if now.serving is not None and (before is None or before.serving != now.serving):
        version = now.serving
        held = ", the former version: it is held" if now.held else ""
        yield (
            f"{now.name}: replica {replica} serves bundle {version.bundle_id[:_SHORT_ID]} "
            f"(stage {version.stage}, preset {version.preset}{held})"
        )
    elif now.state not in ("waiting", "serving") and (before is None or before.state != now.state):
        yield f"{now.name}: replica {replica}: {_WORK[now.state]}"
    error, known = now.last_error, None if before is None else before.last_error
    if error is not None and error != known:
        yield f"{now.name}: replica {replica}: {error}"


_WORK = {
    "fetching": "fetching the bundle",
    "verifying": "verifying it",
    "loading": "loading it",
    "smoke": "rendering the smoke clip",
}


def _ended(job: Job) -> str:
    if job.state == "failed" and job.error is not None:
        return f"{job.id} failed: {job.error.code}: {job.error.message}"
    if job.state == "completed" and job.ended is not None:
        waited = ((job.started or job.created) - job.created).total_seconds()
        worked = (job.ended - (job.started or job.created)).total_seconds()
        by = f" by {job.made_by.bundle_id[:_SHORT_ID]}" if job.made_by is not None else ""
        return f"{job.id} completed{by}: waited {waited:.1f} s, took {worked:.1f} s"
    return f"{job.id} {job.state}"
