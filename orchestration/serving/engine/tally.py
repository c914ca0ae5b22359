"""Counters of a replica, added to the job store once a second and not at every event."""

from __future__ import annotations

import threading
from collections import defaultdict

from core.repeating import Repeating
from orchestration.serving.counters import Increments, Sample
from orchestration.serving.engine.faults import Outage
from orchestration.serving.jobs import JobStore, JobStoreError

_EVERY_S = 1.0


class Tally:
    """Collects increments; what a database that does not answer could not take stays for the next second."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._pending: defaultdict[Sample, float] = defaultdict(float)
        self._lock, self._outage = threading.Lock(), Outage()
        self._repeating = Repeating(self.flush, _EVERY_S, "animatic-tally")

    def start(self) -> None:
        """Begin to write."""
        self._repeating.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._repeating.stop()
        self.flush()

    def add(self, *increments: Increments) -> None:
        """Count."""
        with self._lock:
            for each in increments:
                for sample, by in each.items():
                    self._pending[sample] += by

    def flush(self) -> None:
        """Add what was counted to the store."""
        with self._lock:
            pending, self._pending = self._pending, defaultdict(float)
        if not pending:
            return
        try:
            self._store.count(pending)
        except JobStoreError as error:
            self._outage.failed("counters are kept for later", error)
            self.add(pending)
        else:
            self._outage.succeeded()
