"""What a process of the API counts."""

from __future__ import annotations

from orchestration.serving.counters import FAULTS, REJECTS
from orchestration.serving.jobs import Tally


class Recorder(Tally):
    """Counters of requests and of what runs beside them; housekeeping flushes them."""

    def rejected(self, code: str) -> None:
        """Count an answer with an error."""
        self.add(REJECTS.add(code))

    def fault(self, loop: str) -> None:
        """Count an error that a loop survived."""
        self.add(FAULTS.add(loop))
