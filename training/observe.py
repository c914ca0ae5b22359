"""What a run leaves behind while it goes: the journal, and where its time went.

The journal is the truth about a run; trackers mirror it. One JSON object a line, fsynced, append-only:
after a crash at most the last line is torn, which readers skip and the next run cuts off.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from core.files import sync

EVENTS = ("start", "metrics", "sample", "checkpoint", "resume", "warning", "bundle", "end")


class Journal:
    """Append-only log of a run, written by rank 0 (``path`` None on the others: nothing is written)."""

    def __init__(self, path: Path | None) -> None:
        """Open ``path`` for appending; a torn last line of an earlier run is cut off."""
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn_line(path)
            self._file = path.open("ab")
            sync(path.parent)

    def append(self, event: str, step: int, **fields: Any) -> None:
        """Write one line and wait until it is on disk. Numbers that are not finite become null."""
        if event not in EVENTS:
            raise ValueError(f"unknown journal event {event!r}")
        if self._file is None:
            return
        line = {"time": time.time(), "event": event, "step": step, **fields}
        self._file.write(json.dumps(_finite(line), allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        if self._file is not None:
            self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal, in order; a torn last line is left out."""
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line]


def curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Metrics by name as (step, value) in step order.

    Steps that were done again after a resume count once, with their last value; steps that a resume
    discarded and nobody did again are left out.
    """
    found: dict[str, dict[int, float]] = {}
    for line in read_journal(path):
        if line["event"] == "resume":
            for series in found.values():
                for step in [step for step in series if step > line["step"]]:
                    del series[step]
        elif line["event"] == "metrics":
            for name, value in line["metrics"].items():
                if value is not None:
                    found.setdefault(name, {})[line["step"]] = value
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


def _cut_torn_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
