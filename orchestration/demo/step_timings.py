"""How long each step of the demo took, summed over interrupted runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from core.files import write_text

FILE = "seconds.json"


class StepTime(BaseModel):
    """Seconds of work in one step; a step that was interrupted is not ``complete``."""

    seconds: float
    complete: bool


_TIMINGS = TypeAdapter(dict[str, StepTime])


@dataclass
class Measurement:
    """Set by the step: whether it had work to do."""

    fresh: bool = True


class StepTimings:
    """The record in the demo's folder. Time lost to ``kill -9`` is not counted."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILE

    def read(self) -> dict[str, StepTime]:
        """Name of step → time taken, in the order the steps were first run."""
        return _TIMINGS.validate_json(self._path.read_bytes()) if self._path.exists() else {}

    @contextmanager
    def timing(self, name: str) -> Iterator[Measurement]:
        """Time one step; the time of an interrupted attempt is added."""
        measurement, began, complete = Measurement(), time.monotonic(), False
        try:
            yield measurement
            complete = True
        finally:
            if measurement.fresh:
                self._add(name, time.monotonic() - began, complete)

    def _add(self, name: str, seconds: float, complete: bool) -> None:
        times = self.read()
        before = times.get(name)
        earlier = before.seconds if before and not before.complete else 0.0
        times[name] = StepTime(seconds=round(earlier + seconds, 2), complete=complete)
        write_text(
            self._path, json.dumps({key: taken.model_dump() for key, taken in times.items()}, indent=1)
        )
