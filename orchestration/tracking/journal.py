"""Reading a run's journal: complete lines from a byte offset on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class JournalEntry:
    """One journal line; ``end`` is the byte offset after it."""

    event: str
    step: int
    time: float
    content: dict[str, Any]
    end: int

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of a ``metrics`` line (empty for other events); null stands for not finite."""
        values = self.content.get("metrics") or {}
        return {key: float(value) for key, value in values.items() if value is not None}


def read_journal(
    path: Path, offset: int = 0, limit: int = READ_LIMIT_BYTES
) -> tuple[list[JournalEntry], int]:
    """Entries from ``offset`` on, at most about ``limit`` bytes of them, and the offset to go on from.

    A last line without newline is still being written and is left for the next call; a whole line that is
    not JSON (a crash in mid-write) is passed over.
    """
    if not path.exists():
        return [], offset
    entries: list[JournalEntry] = []
    with path.open("rb") as file:
        file.seek(offset)
        for line in iter(file.readline, b""):
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            entry = _parse(line, offset)
            if entry is not None:
                entries.append(entry)
            limit -= len(line)
            if limit <= 0:
                break
    return entries, offset


def _parse(line: bytes, end: int) -> JournalEntry | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not isinstance(content, dict) or "event" not in content:
        return None
    return JournalEntry(
        event=str(content["event"]),
        step=int(content.get("step") or 0),
        time=float(content.get("time") or 0.0),
        content=content,
        end=end,
    )
