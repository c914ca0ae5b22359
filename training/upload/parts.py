"""A file of lines that grows, in a store whose objects cannot: as parts, objects that are written once.

``journal.jsonl.parts/00000003-000000000000-000000009121`` has the bytes 0 to 9121 of the journal as the
launch 3 of the run had it. The last part of a file is replaced by a longer one with the same beginning,
until it is full. A later launch may begin inside of what an earlier one has written: from there on, its parts
count.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.storage import StoreError
from training.upload.folder import RemoteFolder

FULL_BYTES = 1 << 20
_FOLDER = "{}.parts"
_NAME = re.compile(r"(\d{8})-(\d{12})-(\d{12})")
# Between the listing and the reading of a part, a longer one may have replaced it.
_READS = 5


@dataclass(frozen=True, order=True)
class Part:
    """Bytes ``start`` to ``end`` of a file, as the launch ``writer`` had it."""

    writer: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.writer:08d}-{self.start:012d}-{self.end:012d}"

    @classmethod
    def parse(cls, text: str) -> "Part | None":
        """The part that ``text`` names; None where it names none."""
        match = _NAME.fullmatch(text)
        return cls(*map(int, match.groups())) if match else None


def parts_folder(name: str) -> str:
    """Where the parts of a file are."""
    return _FOLDER.format(name)


def current_parts(parts: Iterable[Part]) -> list[Part]:
    """Those that the file is made of, in the order in which they are written to it: each cuts off what is
    there from its start on."""
    longest = {(part.writer, part.start): part for part in sorted(parts)}
    chosen: list[Part] = []
    end = 0
    for _, part in sorted(longest.items()):
        if part.start <= end:  # otherwise one in between is missing
            chosen.append(part)
            end = part.end
    return chosen


def read_parts(remote: RemoteFolder, name: str) -> bytes | None:
    """The file that was uploaded as parts; None where there are none.

    Raises StoreError where the store fails, or parts are replaced again and again.
    """
    for _ in range(_READS):
        parts = current_parts(_listed(remote, name))
        if not parts:
            return None
        content = bytearray()
        try:
            for part in parts:
                content[part.start :] = remote.read(f"{parts_folder(name)}/{part}")
        except FileNotFoundError:
            continue
        return bytes(content)
    raise StoreError(f"{remote}/{parts_folder(name)}: changes while it is read; end what writes to it")


class GrowingFile:
    """Uploads what is appended to a file of lines."""

    def __init__(self, remote: RemoteFolder, name: str, path: Path, writer: int) -> None:
        """
        Args:
            path: of the file, which need not exist yet, and has at least what the parts of others have.
            writer: number of the launch.
        """
        self._remote, self._name, self._path, self._writer = remote, name, path, writer
        self._last: Part | None = None  # which is not full; or empty, at the end of those that are

    def flush(self) -> None:
        """Upload the whole lines that are missing. Raises StoreError, and OSError where it cannot be read."""
        if not self._path.is_file():
            return
        last = self._last or self._find()
        while True:
            data = _lines_from(self._path, last.start)
            part = Part(self._writer, last.start, last.start + len(data))
            if part.end <= last.end:
                self._last = last
                return
            self._remote.write(self._path_of(part), data)
            if last.end > last.start:
                self._remote.delete(self._path_of(last))
            full = len(data) >= FULL_BYTES
            self._last = last = Part(self._writer, part.end, part.end) if full else part

    def _find(self) -> Part:
        """The last part, if it is this launch's and not full; otherwise an empty one at the end."""
        parts = current_parts(_listed(self._remote, self._name))
        if parts and parts[-1].writer == self._writer and parts[-1].end - parts[-1].start < FULL_BYTES:
            return parts[-1]
        end = parts[-1].end if parts else 0
        return Part(self._writer, end, end)

    def _path_of(self, part: Part) -> str:
        return f"{parts_folder(self._name)}/{part}"


def _listed(remote: RemoteFolder, name: str) -> list[Part]:
    found = (Part.parse(each) for each in remote.list(parts_folder(name)))
    return [part for part in found if part is not None]


def _lines_from(path: Path, start: int) -> bytes:
    """Whole lines from an offset on, up to the end of the line that fills a part."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(FULL_BYTES)
        if len(data) == FULL_BYTES and not data.endswith(b"\n"):
            data += file.readline()
    return data[: data.rfind(b"\n") + 1]
