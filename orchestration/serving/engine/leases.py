"""The jobs that this replica works on: their leases, their progress, and who wants them cancelled.

One thread does the round trips, so that the device waits for no database: it learns of a cancelled job within
a fraction of a second, and a lease is renewed however long a step takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestration.serving.counters import FAULTS
from orchestration.serving.engine.faults import Outage
from orchestration.serving.engine.tally import Tally
from orchestration.serving.jobs import Job, JobStore, JobStoreError, LeaseLostError

# How often a change is recorded, and how often cancellations are looked up without one.
_CHANGED_S = 0.1
_UNCHANGED_S = 0.5


@dataclass(frozen=True)
class _Progress:
    step: int
    steps: int
    remaining_s: float | None


class RunningJob:
    """A claimed job while this replica works on it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._progress: _Progress | None = None
        self._cancelled = threading.Event()
        self._lost = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether its owner asked to cancel it."""
        return self._cancelled.is_set()

    @property
    def lost(self) -> bool:
        """Whether another replica has it now."""
        return self._lost.is_set()

    @property
    def wanted(self) -> bool:
        """Whether to go on with it."""
        return not (self.cancelled or self.lost)


class Leases:
    """Renews the leases of the jobs that were added, from a thread of its own."""

    def __init__(self, store: JobStore, tally: Tally) -> None:
        self._store, self._tally = store, tally
        self._running: dict[str, RunningJob] = {}
        self._recorded: dict[str, tuple[_Progress | None, float]] = {}
        self._lock = threading.Lock()
        self._outage = Outage()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_all, name="animatic-leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is renewed any more."""
        self._stop.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def add(self, jobs: Iterable[Job]) -> list[RunningJob]:
        """Keep these claimed jobs until they are discarded."""
        added = [RunningJob(job) for job in jobs]
        with self._lock:
            for running in added:
                self._running[running.job.id] = running
                self._recorded[running.job.id] = (None, time.monotonic())
        return added

    def discard(self, running: RunningJob) -> None:
        """The job has ended here, or is another replica's."""
        with self._lock:
            self._running.pop(running.job.id, None)
            self._recorded.pop(running.job.id, None)

    def report(self, running: Iterable[RunningJob], step: int, steps: int, remaining_s: float | None) -> None:
        """Record that ``step`` of ``steps`` are done, soon."""
        progress = _Progress(step, steps, remaining_s)
        with self._lock:
            for each in running:
                each._progress = progress

    @property
    def running(self) -> list[RunningJob]:
        """The jobs that were added and not discarded."""
        with self._lock:
            return list(self._running.values())

    def _renew_all(self) -> None:
        while not self._stop.wait(_CHANGED_S):
            try:
                for progress, batch in self._due():
                    self._renew(progress, batch)
                    self._outage.succeeded()
            except JobStoreError as error:
                # The jobs continue: whether the leases outlast the outage is known at the next renewal.
                self._outage.failed("leases are not renewed", error)
                self._tally.add(FAULTS.add("leases"))

    def _due(self) -> list[tuple[_Progress | None, list[RunningJob]]]:
        """Jobs to renew now, together where their progress is the same."""
        now = time.monotonic()
        with self._lock:
            due = []
            for name, running in self._running.items():
                recorded, when = self._recorded[name]
                if running.wanted and (running._progress != recorded or now - when >= _UNCHANGED_S):
                    due.append(running)
        groups = groupby(due, key=lambda running: running._progress)
        return [(progress, list(batch)) for progress, batch in groups]

    def _renew(self, progress: _Progress | None, batch: Sequence[RunningJob]) -> None:
        now = progress or _Progress(0, 0, None)
        jobs = [running.job for running in batch]
        try:
            cancelled = self._store.progress(jobs, now.step, now.steps, now.remaining_s)
        except LeaseLostError:
            if len(batch) > 1:
                for running in batch:
                    self._renew(progress, [running])
            else:  # or it ended here a moment ago, and nobody asks any more
                batch[0]._lost.set()
            return
        renewed = time.monotonic()
        with self._lock:
            for running in batch:
                if running.job.id in self._running:
                    self._recorded[running.job.id] = (progress, renewed)
                if running.job.id in cancelled:
                    running._cancelled.set()
