"""What a run records while it goes: the journal, and where its time went.

The journal is the record of a run, in the form of ``core.journal``; trackers mirror it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.journal import JournalWriter, read_records

EVENTS = ("start", "metrics", "sample", "checkpoint", "resume", "warning", "bundle", "end")
# Read at once by those who follow a journal, so that a long one does not fill their memory.
_FOLLOW_BYTES = 1 << 20


@dataclass(frozen=True)
class JournalEntry:
    """One event of a run: ``time`` in seconds since 1970, and ``content``, all fields of its line."""

    event: str
    step: int
    time: float
    content: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The finite numbers of a ``metrics`` event by name; empty for other events."""
        values = self.content.get("metrics") or {}
        return {key: float(value) for key, value in values.items() if value is not None}


class Journal:
    """The journal of a run, written by rank 0 (``path`` None on the others: nothing is written)."""

    def __init__(self, path: Path | None) -> None:
        self._writer = None if path is None else JournalWriter(path)

    def append(self, event: str, step: int, **fields: Any) -> None:
        """Write one event durably. Numbers that are not finite become null.

        Raises:
            ValueError: where ``event`` is not one of EVENTS.
        """
        if event not in EVENTS:
            raise ValueError(f"unknown journal event {event!r}")
        if self._writer is not None:
            self._writer.append({"time": time.time(), "event": event, "step": step, **fields})

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        if self._writer is not None:
            self._writer.close()


def read_journal(path: Path) -> list[JournalEntry]:
    """All events of a journal, in order; none where there is no such file."""
    return _entries(read_records(path)[0])


def follow_journal(path: Path, offset: int) -> tuple[list[JournalEntry], int]:
    """Events from a byte offset on, about a megabyte of them at most, and the offset to go on from."""
    records, end = read_records(path, offset, _FOLLOW_BYTES)
    return _entries(records), end


def curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Metrics by name as (step, value) in step order.

    Steps that were repeated after a resume count once, with their last value; steps that a resume discarded
    and that were not repeated are left out.
    """
    found: dict[str, dict[int, float]] = {}
    for entry in read_journal(path):
        if entry.event == "resume":
            for series in found.values():
                for step in [step for step in series if step > entry.step]:
                    del series[step]
        for name, value in entry.metrics.items():
            found.setdefault(name, {})[entry.step] = value
    return {name: sorted(series.items()) for name, series in found.items()}


class Throughput:
    """Wall time since the last report, and the share of it spent waiting for data."""

    def __init__(self) -> None:
        self._reset()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside counts as waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside counts for nothing (checkpoints, samples)."""
        started = time.perf_counter()
        yield
        self._began += time.perf_counter() - started

    def report(self, steps: int, clips: int) -> dict[str, float]:
        """Metrics of the time since the last report, in which ``steps`` steps used ``clips`` clips."""
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        metrics = {
            "throughput/clips_per_s": clips / elapsed,
            "throughput/step_s": elapsed / max(steps, 1),
            "throughput/data_wait": min(self._waited / elapsed, 1.0),
        }
        self._reset()
        return metrics

    def _reset(self) -> None:
        self._began, self._waited = time.perf_counter(), 0.0


def _entries(records: list[dict[str, Any]]) -> list[JournalEntry]:
    return [
        JournalEntry(
            event=str(record.get("event", "")),
            step=int(record.get("step") or 0),
            time=float(record.get("time") or 0.0),
            content=record,
        )
        for record in records
    ]
