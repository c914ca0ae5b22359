"""Append-only files of lines, most of them JSON objects, each on disk when its append returns.

A line counts once its newline is written. What follows the last newline is a torn line: its writer was
killed, or is still writing it. Readers leave it out, and the next writer cuts it off.
"""

import json
import logging
import math
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.files import create_folder, sync

logger = logging.getLogger(__name__)

_BLOCK = 1 << 16


class JournalWriter:
    """Appends lines to one file, which has no other writer at the same time; use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, creating it and its folder if necessary, and cut off a torn line."""
        create_folder(path.parent)
        # Unbuffered: what could not be written does not come later, behind other lines.
        self._file = path.open("a+b", buffering=0)
        self._end = _end_of_whole_lines(self._file)
        if self._end < self._file.seek(0, os.SEEK_END):
            self._file.truncate(self._end)
            os.fsync(self._file.fileno())
        sync(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a JSON object and wait until it is on disk. Numbers that are not finite become null."""
        self.append_line(json.dumps(_finite(record), allow_nan=False).encode())

    def append_line(self, line: bytes) -> None:
        """Write a line, given without its newline, and wait until it is on disk.

        Raises OSError where it cannot be written: nothing of it is in the file then, and another attempt may
        follow.
        """
        if b"\n" in line:
            raise ValueError("a line of a journal cannot hold a newline")
        rest = memoryview(line + b"\n")
        try:
            while rest:  # a write may stop early, where a disk becomes full
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(line) + 1

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def whole_lines(data: bytes) -> list[bytes]:
    """The lines that ``data`` holds to their end, without newlines."""
    return data.split(b"\n")[:-1]


def torn_line(data: bytes) -> bytes:
    """What follows the last newline; empty where ``data`` ends in one."""
    return data[data.rfind(b"\n") + 1 :]


def read_lines(path: Path, offset: int = 0, limit: int | None = None) -> tuple[list[bytes], int]:
    """Whole lines of a journal from a byte offset on.

    Args:
        offset: 0, or what an earlier call returned.
        limit: read no further than to the end of the line that holds this many bytes after ``offset``.

    Returns:
        The lines without newlines, none where there is no such file, and the offset to go on from.
    """
    if not path.is_file():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read() if limit is None else file.read(limit) + file.readline()
    lines = whole_lines(data)
    return lines, offset + sum(len(line) + 1 for line in lines)


def complete_last_line(path: Path) -> None:
    """Write the newline that the last line lacks, durably: for a line known to be whole all the same."""
    with path.open("ab") as file:
        file.write(b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_records(
    path: Path, offset: int = 0, limit: int | None = None, *, without: bytes | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of a journal from a byte offset on; arguments and result as of ``read_lines``.

    Lines that contain ``without`` are left out and not parsed.

    A line that is none, as a disk error or an editor leaves it, is logged and skipped: it must not make the
    rest unreadable.
    """
    lines, end = read_lines(path, offset, limit)
    records = []
    for line in lines:
        if without is not None and without in line:
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            logger.warning("%s: skipped a line that is not a JSON object: %.80r", path, line)
    return records, end


def _end_of_whole_lines(file: FileIO) -> int:
    """The offset after the last newline, found from the end backwards."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
