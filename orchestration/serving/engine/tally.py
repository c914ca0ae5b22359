"""Counters of a replica, added to the job store once a second and not at every event."""

from __future__ import annotations

from core.repeating import Repeating
from orchestration.serving import jobs
from orchestration.serving.engine.faults import Outage
from orchestration.serving.jobs import JobStore, JobStoreError

_EVERY_S = 1.0


class Tally(jobs.Tally):
    """Flushes itself; what a database that does not answer could not take stays for the next second."""

    def __init__(self, store: JobStore) -> None:
        super().__init__(store)
        self._outage = Outage()
        self._repeating = Repeating(self._write, _EVERY_S, "animatic-tally")

    def start(self) -> None:
        """Begin to write."""
        self._repeating.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._repeating.stop()
        self._write()

    def _write(self) -> None:
        try:
            self.flush()
        except JobStoreError as error:
            self._outage.failed("counters are kept for later", error)
        else:
            self._outage.succeeded()
