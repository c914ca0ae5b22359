"""What every batch of a replica works with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from orchestration.serving.engine.clips import Precision
from orchestration.serving.engine.health import Pulse
from orchestration.serving.engine.leases import Leases
from orchestration.serving.engine.outcomes import Outcomes
from orchestration.serving.engine.tally import Tally
from orchestration.serving.engine.timings import Timings
from orchestration.serving.engine.writing import Writer
from orchestration.serving.results import Results


class BatchLimit:
    """How many clips a batch may have: as configured, less once the device had too little memory."""

    def __init__(self, most: int) -> None:
        self.most = most

    def reduce(self, clips: int) -> None:
        """A batch of ``clips`` did not fit."""
        self.most = max(1, min(self.most, clips // 2))


@dataclass(frozen=True)
class Bench:
    """The parts of a replica.

    Attributes:
        replica: name of this one.
        precision: of the network; None takes the bundle's.
        abandon: set where running batches are to be released.
        check_device: makes a small clip; False, and the replica counts as failed, where that fails.
    """

    replica: str
    precision: Precision | None
    results: Results
    leases: Leases
    outcomes: Outcomes
    writer: Writer
    timings: Timings
    tally: Tally
    pulse: Pulse
    limit: BatchLimit
    abandon: threading.Event
    check_device: Callable[[], bool]
