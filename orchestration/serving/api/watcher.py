"""Waiting for changes of jobs: one task of a process reads all jobs that someone watches."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing

from starlette.concurrency import run_in_threadpool

from orchestration.serving.jobs import Job, JobStore, JobStoreError

_LOG = logging.getLogger(__name__)
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})


class Watcher:
    """Distributes the states of watched jobs. Belongs to one event loop, in which the first watch starts it.

    A database that does not answer delays changes, and ends no watch.
    """

    def __init__(self, store: JobStore, every_s: float) -> None:
        self._store, self._every_s = store, every_s
        self._watching: defaultdict[str, set[asyncio.Queue[Job | None]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """Of watches now."""
        return sum(len(queues) for queues in list(self._watching.values()))

    async def watch(self, job: Job) -> AsyncGenerator[Job, None]:
        """The job as it is given, and after every change; ends with its end, or when it is removed."""
        # Of a reader that is slow, the newest state is enough.
        queue: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=1)
        self._watching[job.id].add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield job
            while job.state not in ENDED:
                newest = await queue.get()
                if newest is None:
                    return
                if newest != job:
                    yield newest
                job = newest
        finally:
            self._watching[job.id].discard(queue)
            if not self._watching[job.id]:
                del self._watching[job.id]

    async def ended(self, job: Job) -> Job | None:
        """The job once it has ended; None if it was removed before."""
        async with aclosing(self.watch(job)) as states:
            async for state in states:
                job = state
        return job if job.state in ENDED else None

    async def _poll(self) -> None:
        while self._watching:
            ids = list(self._watching)
            try:
                self._distribute(ids, await run_in_threadpool(self._store.get_many, ids))
            except JobStoreError as error:
                _LOG.warning("watched videos cannot be read: %s", error)
            except Exception:  # noqa: BLE001  the border of the loop: others still watch
                _LOG.exception("watched videos cannot be read")
            await asyncio.sleep(self._every_s)

    def _distribute(self, ids: Iterable[str], jobs: Mapping[str, Job]) -> None:
        for job_id in ids:
            for queue in self._watching.get(job_id, ()):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(jobs.get(job_id))
