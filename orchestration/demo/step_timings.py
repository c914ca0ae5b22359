"""How long each step of the demo took and what it spent the time on, summed over interrupted runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter

from core.files import write_text

FILE = "seconds.json"
# Of the record's entries, the only one that is no step: from the start of the process to the first step.
START = "start of the command"


class StepTime(BaseModel):
    """Seconds of work in one step; a step that was interrupted is not ``complete``.

    ``parts``: what the seconds were spent on, by name, in order; what they do not name is the rest of
    ``seconds``.
    """

    seconds: float
    complete: bool
    parts: dict[str, float] = Field(default_factory=dict)


_TIMINGS = TypeAdapter(dict[str, StepTime])


@dataclass
class Measurement:
    """Set by the step: whether it had work to do, and the seconds of its parts."""

    fresh: bool = True
    parts: dict[str, float] = field(default_factory=dict)

    def add(self, parts: Mapping[str, float]) -> None:
        """Add seconds to parts of the step."""
        for name, seconds in parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of the step; parts do not overlap."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add({name: time.monotonic() - began})


class StepTimings:
    """The record in the demo's folder. Time lost to ``kill -9`` is not counted."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILE

    def read(self) -> dict[str, StepTime]:
        """Name of step → time taken, in the order the steps were first run; :data:`START` is first."""
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
                self._add(name, time.monotonic() - began, complete, measurement.parts)

    def add_start(self, seconds: float) -> None:
        """Add the time between the start of a process and its first step."""
        times = self.read()
        earlier = times.pop(START, StepTime(seconds=0.0, complete=True))
        self._write({START: StepTime(seconds=round(earlier.seconds + seconds, 2), complete=True), **times})

    def _add(self, name: str, seconds: float, complete: bool, parts: Mapping[str, float]) -> None:
        times = self.read()
        before = times.get(name)
        earlier = StepTime(seconds=0.0, complete=False) if before is None or before.complete else before
        total = Measurement(parts=dict(earlier.parts))
        total.add(parts)
        times[name] = StepTime(
            seconds=round(earlier.seconds + seconds, 2),
            complete=complete,
            parts={part: round(taken, 2) for part, taken in total.parts.items()},
        )
        self._write(times)

    def _write(self, times: Mapping[str, StepTime]) -> None:
        content = {name: taken.model_dump(exclude_defaults=True) for name, taken in times.items()}
        write_text(self._path, json.dumps(content, indent=1))
