"""Units of work on Ray: bounded, retried where a node is lost, counted as they finish."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray

from core.errors import AnimaticError
from pipelines.cluster.connect import ensure_ray
from pipelines.ingest.timings import Timings

# A unit is tried again when its worker or node is lost; machines on the spot market are lost often.
UNIT_RETRIES = 10
# Rates are those of the last units: what was slow an hour ago says little about now.
RECENT_UNITS = 32


@dataclass(frozen=True)
class IngestProgress:
    """How far the job is. ``bytes`` of shards; ``seconds_left`` is None until one unit is made.

    Counts are of the whole dataset, with units that were there already; rates are of this run.
    """

    rows: int
    total_rows: int
    samples: int
    rejected: int
    seconds_left: float | None
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rows_per_s: float = 0.0
    samples_per_s: float = 0.0
    bytes_per_s: float = 0.0


Progress = Callable[[IngestProgress], None]


class Tally:
    """Counts for the progress display, and a note of when each unit was made."""

    def __init__(self, total: int, progress: Progress | None, timings: Timings) -> None:
        self._total, self._progress, self._timings = total, progress, timings
        self._all = self._made = (0, 0, 0)  # rows, samples, bytes
        self._recent = deque([(time.monotonic(), self._made)], maxlen=RECENT_UNITS + 1)
        self._rejected = 0
        self._reasons: Counter[str] = Counter()

    def found(self, counts: dict[str, Any]) -> None:
        """Take the counts of a unit that was there already."""
        self._take(counts)

    def made(self, unit: int, seconds: float, counts: dict[str, Any]) -> None:
        """Take the counts of a unit that a worker made just now, in ``seconds``."""
        self._timings.add(unit, seconds, counts)
        self._made = _sum(self._made, counts)
        self._recent.append((time.monotonic(), self._made))
        self._take(counts)

    def _take(self, counts: dict[str, Any]) -> None:
        self._all = _sum(self._all, counts)
        self._rejected += counts["rejected_rows"]
        self._reasons.update(counts["reasons"])
        if self._progress is not None:
            self._progress(self._state())

    def _state(self) -> IngestProgress:
        rows, samples, size = self._all
        rates = self._rates()
        left = (self._total - rows) / rates[0] if rates[0] else None
        state = (rows, self._total, samples, self._rejected, left, size, dict(self._reasons))
        return IngestProgress(*state, *rates)

    def _rates(self) -> list[float]:
        """Rows, samples and bytes a second, over the last units made."""
        (began, before), (now, after) = self._recent[0], self._recent[-1]
        passed = max(now - began, 1e-9)
        return [(last - first) / passed for first, last in zip(before, after, strict=True)]


def _sum(sums: tuple[int, int, int], counts: dict[str, Any]) -> tuple[int, int, int]:
    return (sums[0] + counts["rows"], sums[1] + counts["samples"], sums[2] + counts["bytes"])


def _timed(work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> tuple[float, dict[str, Any]]:
    """What a worker runs: the work, and the seconds it took."""
    started = time.monotonic()
    counts = work(*arguments)
    return time.monotonic() - started, counts


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
                task = ray.remote(num_cpus=1, max_retries=UNIT_RETRIES)(_timed)
            running[task.remote(work, arguments)] = unit
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
        tally.made(unit, *ray.get(finished[0]))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        said = "".join(str(cause).strip().splitlines()[-1:])[:300]
        raise AnimaticError(
            f"unit {unit} failed ({type(cause).__name__}{f': {said}' if said else ''}); "
            "what is done is kept: mend that and run it again"
        ) from error
