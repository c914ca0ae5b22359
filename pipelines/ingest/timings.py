"""When each unit was made: timings.jsonl, a line for each unit, beside the dataset but not part of it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from core.errors import AnimaticError
from core.journal import whole_lines
from core.storage import Folder
from pipelines.dataset.records import UnitCounts

NAME = "timings.jsonl"
WRITE_EVERY_S = 15.0


@dataclass(frozen=True)
class UnitTiming:
    """One unit. ``run`` and ``ended`` are seconds since 1970, when the call that made it began and when it
    was finished; ``seconds`` is the time of its worker; ``bytes`` are those of its tar."""

    run: float
    ended: float
    seconds: float
    unit: int
    rows: int
    samples: int
    bytes: int


_TIMING = TypeAdapter(UnitTiming)


class Timings:
    """Collects lines and writes the whole file now and then: an object store cannot append."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._run = time.time()
        self._lines: list[bytes] | None = None
        self._unwritten = 0
        self._written = time.monotonic()

    def add(self, unit: int, seconds: float, counts: UnitCounts) -> None:
        """Record that ``unit`` was finished just now."""
        if self._lines is None:
            self._lines = _lines(self._folder)
        timing = UnitTiming(
            run=round(self._run, 3),
            ended=round(time.time(), 3),
            seconds=round(seconds, 3),
            unit=unit,
            rows=counts["rows"],
            samples=counts["samples"],
            bytes=counts["bytes"],
        )
        self._lines.append(json.dumps(asdict(timing)).encode())
        self._unwritten += 1
        if time.monotonic() - self._written > WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write what is collected. A driver that is killed loses the lines since the last call."""
        if self._unwritten and self._lines is not None:
            self._folder.write(NAME, b"".join(line + b"\n" for line in self._lines))
            self._unwritten = 0
        self._written = time.monotonic()


@contextmanager
def timings_of(folder: Folder) -> Iterator[Timings]:
    """Timings that are written when the job ends, with or without an error."""
    timings = Timings(folder)
    try:
        yield timings
    finally:
        timings.write()


def read_timings(folder: Folder) -> list[UnitTiming]:
    """Recorded timings in the order of the work, empty without any. Raises AnimaticError."""
    try:
        return [_TIMING.validate_json(line) for line in _lines(folder)]
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise AnimaticError(f"{folder}/{NAME} is damaged ({problem}); delete it") from error


def _lines(folder: Folder) -> list[bytes]:
    try:
        return whole_lines(folder.read(NAME))
    except FileNotFoundError:
        return []
