"""The progress of an ingest: counts of the whole dataset, rates of the last units."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.dataset.records import UnitCounts
from pipelines.ingest.timings import Timings

# Rates are those of the last units: older ones say little about the present.
RECENT_UNITS = 32


@dataclass(frozen=True)
class IngestProgress:
    """The state of the job. ``bytes`` of shards; ``seconds_left`` is None until one unit is finished.

    Counts are of the whole dataset, with units of earlier runs; rates are of this run.
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


@dataclass(frozen=True)
class _Sums:
    """Rows, samples and bytes of the units so far."""

    rows: int = 0
    samples: int = 0
    bytes: int = 0

    def plus(self, counts: UnitCounts) -> "_Sums":
        return _Sums(
            self.rows + counts["rows"], self.samples + counts["samples"], self.bytes + counts["bytes"]
        )


class Tally:
    """Sums the counts of units for the progress display, and records how long each took."""

    def __init__(self, total: int, progress: Progress | None, timings: Timings) -> None:
        """``total``: rows of the whole dataset."""
        self._total, self._progress, self._timings = total, progress, timings
        self._all = self._made = _Sums()
        self._recent = deque([(time.monotonic(), self._made)], maxlen=RECENT_UNITS + 1)
        self._rejected = 0
        self._reasons: Counter[str] = Counter()

    def add_present(self, counts: UnitCounts) -> None:
        """Count a unit of an earlier run."""
        self._add(counts)

    def add_finished(self, unit: int, seconds: float, counts: UnitCounts) -> None:
        """Count a unit that a worker has just finished, in ``seconds``."""
        self._timings.add(unit, seconds, counts)
        self._made = self._made.plus(counts)
        self._recent.append((time.monotonic(), self._made))
        self._add(counts)

    def _add(self, counts: UnitCounts) -> None:
        self._all = self._all.plus(counts)
        self._rejected += counts["rejected_rows"]
        self._reasons.update(counts["reasons"])
        if self._progress is not None:
            self._progress(self._state())

    def _state(self) -> IngestProgress:
        (began, before), (now, after) = self._recent[0], self._recent[-1]
        passed = max(now - began, 1e-9)
        rows_per_s = (after.rows - before.rows) / passed
        return IngestProgress(
            rows=self._all.rows,
            total_rows=self._total,
            samples=self._all.samples,
            rejected=self._rejected,
            seconds_left=(self._total - self._all.rows) / rows_per_s if rows_per_s else None,
            bytes=self._all.bytes,
            reasons=dict(self._reasons),
            rows_per_s=rows_per_s,
            samples_per_s=(after.samples - before.samples) / passed,
            bytes_per_s=(after.bytes - before.bytes) / passed,
        )
