"""The journal of a run: the record that trackers mirror, in the form of ``core.journal``."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from core.fencing import Number, Token
from core.journal import JournalWriter, read_records

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
        self._writer, self._token = None if path is None else JournalWriter(path), token

    def record(self, step: int, event: Event) -> None:
        """Write an event durably; ``step``: number of steps done. Numbers that are not finite become null.

        Writes nothing once a later run has taken over.
        """
        if self._writer is None or not (self._token is None or self._token.holds()):
            return
        attempt = {} if self._token is None else {"attempt": str(self._token.number)}
        line = {"time": time.time(), "event": event.event, "step": step, **asdict(event), **attempt}
        self._writer.append(line)

    def close(self) -> None:
        """Close the file; recording afterwards is an error."""
        if self._writer is not None:
            self._writer.close()


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
