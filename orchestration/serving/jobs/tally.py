"""Counters of one process, on their way to the store: nobody who counts waits for it."""

from __future__ import annotations

import threading
from collections import defaultdict

from orchestration.serving.counters import Increments, Sample
from orchestration.serving.jobs.records import JobStoreError
from orchestration.serving.jobs.store import JobStore


class Tally:
    """Adds counters up in memory; :meth:`flush` adds them to the store.

    Safe for threads. What a process that is killed has not flushed is lost.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._counted: defaultdict[Sample, float] = defaultdict(float)

    def add(self, *increments: Increments) -> None:
        """Count."""
        with self._lock:
            for each in increments:
                for sample, by in each.items():
                    if by:
                        self._counted[sample] += by

    def flush(self) -> None:
        """Add to the store. Raises JobStoreError; the counters are then kept for the next time."""
        with self._lock:
            counted, self._counted = self._counted, defaultdict(float)
        if not counted:
            return
        try:
            self._store.count(counted)
        except JobStoreError:
            self.add(counted)
            raise
