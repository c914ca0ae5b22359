"""Units of work on Ray: bounded, retried where a node is lost, counted as they finish."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray

from models.errors import AnimaticError
from pipelines.cluster import ensure_ray

# A unit is tried again when its worker or node is lost; machines on the spot market are lost often.
UNIT_RETRIES = 10


@dataclass(frozen=True)
class IngestProgress:
    """How far the job is. ``bytes`` of shards; ``seconds_left`` is None until one unit is made."""

    rows: int
    total_rows: int
    samples: int
    rejected: int
    seconds_left: float | None
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


Progress = Callable[[IngestProgress], None]


class Tally:
    """Counts for the progress display."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._started = time.monotonic()
        self._rows = self._made = self._samples = self._rejected = self._bytes = 0
        self._reasons: Counter[str] = Counter()

    def add(self, counts: dict[str, Any], made: bool = True) -> None:
        """Take the counts of a unit that was made now or found."""
        self._rows += counts["rows"]
        self._made += counts["rows"] if made else 0
        self._samples += counts["samples"]
        self._rejected += counts["rejected_rows"]
        self._bytes += counts["bytes"]
        self._reasons.update(counts["reasons"])
        if self._progress is not None:
            pace = (time.monotonic() - self._started) / self._made if self._made else None
            left = None if pace is None else pace * (self._total - self._rows)
            state = (self._rows, self._total, self._samples, self._rejected, left, self._bytes)
            self._progress(IngestProgress(*state, dict(self._reasons)))


def run_units(
    work: Callable[..., dict[str, Any]],
    tasks: Iterable[tuple[int, tuple[Any, ...]]],
    tally: Tally,
    *,
    workers: int | None,
    address: str | None,
) -> None:
    """Call ``work(*arguments)`` for each (unit, arguments), never more than ``workers`` at once.

    ``work`` returns the unit's counts. A task is taken from ``tasks`` only when there is room for it, so what
    is in memory depends on ``workers`` alone. Raises AnimaticError if a unit fails.
    """
    task, running = None, dict[Any, int]()
    try:
        for unit, arguments in tasks:
            if task is None:
                ensure_ray(address)
                task = ray.remote(num_cpus=1, max_retries=UNIT_RETRIES)(work)
            running[task.remote(*arguments)] = unit
            while len(running) >= (workers or _cpus()):
                _collect(running, tally)
        while running:
            _collect(running, tally)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _cpus() -> int:
    """CPUs of the cluster now: nodes come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _collect(running: dict[Any, int], tally: Tally) -> None:
    finished, _ = ray.wait(list(running), num_returns=1)
    unit = running.pop(finished[0])
    try:
        tally.add(ray.get(finished[0]))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise AnimaticError(
            f"unit {unit} failed ({type(cause).__name__}: {str(cause).strip().splitlines()[-1][:300]}); "
            "what is done is kept: mend that and run it again"
        ) from error
