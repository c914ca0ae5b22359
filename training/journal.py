"""The journal of a run: the record that trackers mirror, in the form of ``core.journal``."""

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from core.disk_errors import NO_ROOM
from core.errors import AnimaticError
from core.fencing import Number, Token
from core.journal import JournalWriter, read_records

logger = logging.getLogger(__name__)

# Lines that wait for room on a full disk: of hours, with a line each few seconds.
_MOST_BEHIND = 10_000
# Read at once by those who follow a journal, so that a long one does not fill their memory.
_FOLLOW_BYTES = 1 << 20
# As json.dumps writes it; inside of a string, its quotes would be escaped.
_METRICS = b'"event": "metrics"'


class Event(Protocol):
    """A dataclass that becomes a line of a journal; those of a training run are in ``training.events``."""

    event: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class JournalEntry:
    """A line of a journal: ``time`` in seconds since 1970, and ``content``, all fields of the line."""

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
    """Records the events of a run, in its first process, until a later run takes over."""

    def __init__(self, path: Path | None, token: Token | None = None) -> None:
        """
        Args:
            path: None in the other processes, where nothing is written.
            token: of the run; None where nothing else can write to the file.

        Raises SupersededError where a later run has taken over.
        """
        if path is not None and token is not None:
            token.check()  # opening the file may shorten it
        self._path, self._token = path, token
        self._writer = None if path is None else JournalWriter(path)
        self._behind: deque[dict[str, Any]] = deque()

    def record(self, step: int, event: Event) -> None:
        """Write an event durably; ``step``: number of steps done. Numbers that are not finite become null.

        Writes nothing once a later run has taken over. Where the disk is full, the line waits and is written
        before the next one that finds room; too many of them are an OSError.
        """
        if self._writer is None or not (self._token is None or self._token.holds()):
            return
        attempt = {} if self._token is None else {"attempt": str(self._token.number)}
        line = {"time": time.time(), "event": event.event, "step": step, **asdict(event), **attempt}
        self._behind.append(line)
        error = self._write_behind()
        if error is not None:
            logger.warning("%s: %d lines wait: %s", self._path, len(self._behind), error.strerror)
            if len(self._behind) > _MOST_BEHIND:
                raise error

    def close(self) -> None:
        """Close the file; recording afterwards is an error.

        Raises AnimaticError where the disk is still too full for its last lines.
        """
        if self._writer is None:
            return
        error = self._write_behind()
        self._writer.close()
        if error is not None:
            raise AnimaticError(
                f"{self._path} lacks its last {len(self._behind)} lines: {error.strerror}; free space on its "
                "disk, then rerun the same command"
            )

    def _write_behind(self) -> OSError | None:
        """Write the lines that wait; what keeps the first of them from it, where the disk is full."""
        while self._behind and self._writer is not None:
            try:
                self._writer.append(self._behind[0])
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                return error
            self._behind.popleft()
        return None


def read_journal(path: Path, *, metrics: bool = True) -> list[JournalEntry]:
    """All events of a journal, in order; none without the file.

    A line that an earlier attempt wrote after a later one had begun is left out.

    Args:
        metrics: False leaves out the events that most lines of a long run are, which is much faster.
    """
    entries, newest = [], Number(0, 0)
    for entry in _entries(read_records(path, without=None if metrics else _METRICS)[0]):
        number = Number.parse(str(entry.content.get("attempt"))) or newest
        if number >= newest:
            entries.append(entry)
            newest = number
    return entries


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


def _entries(records: Iterable[dict[str, Any]]) -> list[JournalEntry]:
    return [
        JournalEntry(
            event=str(record.get("event", "")),
            step=int(record.get("step") or 0),
            time=float(record.get("time") or 0.0),
            content=record,
        )
        for record in records
    ]
