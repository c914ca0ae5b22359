"""A ledger in one local file, ``ledger.jsonl``: writers hold a lock, and wait until their line is on disk."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic_core import from_json

from core.journal import JournalWriter, complete_last_line, torn_line, whole_lines
from core.lock import file_lock
from core.storage import Folder, StoreError
from orchestration.registry.lines import parse
from orchestration.registry.store import StoredLines

FILE = "ledger.jsonl"
LOCK_TIMEOUT_S = 30.0
_STARTS = (b'{"format":', b'{"seq":')
_WHOLE_HASH = re.compile(rb'"hash":"[^"]{64}')


class LocalStore:
    """The file ``ledger.jsonl`` in a local folder; created by the first append."""

    def __init__(self, folder: Path) -> None:
        self.base = folder
        self.path = folder / FILE
        self.folder = Folder(folder)

    def __str__(self) -> str:
        return str(self.path)

    def read(self, known: Sequence[bytes] = ()) -> StoredLines:
        """Whole lines, and a last one that lacks nothing but its newline, as some editors leave it."""
        content = self._content()  # once: a writer may be at work
        lines, last = whole_lines(content), torn_line(content)
        problems, remarks = [], []
        if parse(last):
            lines.append(last)
        elif _could_be_cut_short(last):
            remarks.append(f"{self.path} ends within an entry that was never recorded: its writer was killed")
        elif last:
            problems.append(f"line {len(lines) + 1} is not an entry, nor the beginning of one")
        names = tuple(f"line {number + 1}" for number in range(len(lines)))
        return StoredLines(tuple(lines), names, tuple(problems), tuple(remarks))

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreError(
                f"the ledger {self.path} cannot be read: {error.strerror}; name a folder as registry"
            ) from error

    def writing(self) -> AbstractContextManager[None]:
        """The lock of the file. Raises LockedError if another process holds it for too long."""
        return file_lock(self.path.with_name(f"{FILE}.lock"), LOCK_TIMEOUT_S)

    def append(self, number: int, line: bytes) -> bool:
        """Add a line; cuts off the beginning of an entry that a killed writer left."""
        if self.path.is_file() and parse(torn_line(self.path.read_bytes())):
            complete_last_line(self.path)
        with JournalWriter(self.path) as file:
            file.append_line(line)
        return True


def _could_be_cut_short(last: bytes) -> bool:
    """Whether bytes without a newline are the beginning of an entry, and cannot be a whole, damaged one."""
    begins = any(last[: len(start)] == start[: len(last)] for start in _STARTS)
    if not last or not begins or _WHOLE_HASH.search(last):
        return False
    try:
        # Of a character that was cut in two, the decoder waits for the rest.
        text = codecs.getincrementaldecoder("utf-8")().decode(last)
        from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return False
    return not _is_whole(text)


def _is_whole(text: str) -> bool:
    """Whether a text begins with a complete JSON value."""
    try:
        json.JSONDecoder().raw_decode(text)
    except ValueError:
        return False
    return True
