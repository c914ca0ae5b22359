"""How long each step of the demo took, over all the runs that it took to finish it."""

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


class Taken(BaseModel):
    """Seconds of work in one step; a step that was interrupted is not ``complete``."""

    seconds: float
    complete: bool


_NOTES = TypeAdapter(dict[str, Taken])


@dataclass
class Timed:
    """Filled by the step: whether there was anything to do."""

    fresh: bool = True


class SecondsNote:
    """The note kept in the demo's folder. Time lost to ``kill -9`` is not counted."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILE

    def read(self) -> dict[str, Taken]:
        """Name of step → time taken, in the order the steps were first run."""
        return _NOTES.validate_json(self._path.read_bytes()) if self._path.exists() else {}

    @contextmanager
    def timing(self, name: str) -> Iterator[Timed]:
        """Time one step; what it took is added to what an interrupted attempt took."""
        timed, began, complete = Timed(), time.monotonic(), False
        try:
            yield timed
            complete = True
        finally:
            if timed.fresh:
                self._add(name, time.monotonic() - began, complete)

    def _add(self, name: str, seconds: float, complete: bool) -> None:
        notes = self.read()
        before = notes.get(name)
        earlier = before.seconds if before and not before.complete else 0.0
        notes[name] = Taken(seconds=round(earlier + seconds, 2), complete=complete)
        write_text(self._path, json.dumps({key: note.model_dump() for key, note in notes.items()}, indent=1))
