"""Members of a folder or archive, and an index of them on disk: a million cost little memory."""

import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.sources.listings.names import (
    SIDECAR_SUFFIXES,
    VIDEO_SUFFIXES,
    is_ignored,
    plain_name,
    stem_of,
    suffix_of,
)

_COLUMNS = "name, size, offset, header, packed, method, content, fault, stored_name, archive"


MAX_MEMBER_BYTES = 1 << 43  # a larger one is damage; file systems and SQLite have limits above


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a folder or archive.

    Attributes:
        name: within it.
        stored_name: the name as the archive has it, if it differs, as by ``./`` before it.
        size: bytes, decompressed.
        offset: of its bytes in the archive, if they are stored as they are.
        header: offset of its local header in a zip; its bytes follow.
        packed: bytes in the zip.
        method: of compression in a zip.
        content: of a small text, where it has to be read in passing.
        fault: why it cannot be read; empty if it can.
        is_folder: whether it is a folder, and no file.
        archive: number of the archive, of several.
    """

    name: str
    size: int
    offset: int | None = None
    header: int | None = None
    packed: int | None = None
    method: int | None = None
    content: bytes | None = None
    fault: str = ""
    is_folder: bool = False
    stored_name: str | None = None
    archive: int = 0


class MemberIndex:
    """Videos and sidecars of one folder or archive by name, in a temporary database that is not kept.

    Attributes:
        repeated: number of members whose name an earlier one has.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        """Index what ``members`` yields: videos, sidecars, and what is damaged; other files are left out."""
        self._database = sqlite3.connect("")  # a temporary file once it exceeds the cache
        weakref.finalize(self, self._database.close)
        self._database.execute("PRAGMA cache_size = -16384")  # KiB
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE members (number INTEGER PRIMARY KEY, name TEXT UNIQUE, stem TEXT, base TEXT, "
            "kind TEXT, size INTEGER, offset INTEGER, header INTEGER, packed INTEGER, method INTEGER, "
            "content BLOB, fault TEXT, stored_name TEXT, archive INTEGER)"
        )
        self.repeated = 0
        for member in members:
            self._add(member)
        texts = self._database.execute("SELECT 1 FROM members WHERE kind = 'text' LIMIT 1")
        self._has_texts = texts.fetchone() is not None
        for column in ("stem", "base"):
            self._database.execute(f"CREATE INDEX by_{column} ON members ({column})")

    def __len__(self) -> int:
        """Number of videos, those with a fault included."""
        (count,) = self._database.execute("SELECT count(*) FROM members WHERE kind = 'video'").fetchone()
        return int(count)

    def videos(self, *, by_name: bool = False) -> Iterator[Member]:
        """Every video and every fault, in the order of the archive or of names."""
        order = "name" if by_name else "number"
        found = self._database.execute(
            f"SELECT {_COLUMNS} FROM members WHERE kind = 'video' ORDER BY {order}"
        )
        return map(_member, found)

    def named(self, name: str) -> Member | None:
        """The video of this name."""
        return next(self._where("kind = 'video' AND name = ?", name), None)

    def with_base(self, base: str) -> list[Member]:
        """Videos whose name ends in ``/base``, or is it; two at most."""
        return list(self._where("kind = 'video' AND base = ? LIMIT 2", base))

    def with_stem(self, stem: str) -> Member | None:
        """The first video whose name without its last suffix is this."""
        return next(self._where("kind = 'video' AND stem = ? ORDER BY number LIMIT 1", stem), None)

    def sidecars(self, stem: str) -> list[Member]:
        """Sidecars whose name without its suffix is this, those before others being preferred."""
        found = list(self._where("kind = 'text' AND stem = ?", stem)) if self._has_texts else []
        return sorted(found, key=lambda member: SIDECAR_SUFFIXES.index(suffix_of(member.name)))

    def _where(self, condition: str, *values: str) -> Iterator[Member]:
        return map(
            _member, self._database.execute(f"SELECT {_COLUMNS} FROM members WHERE {condition}", values)
        )

    def _add(self, member: Member) -> None:
        kind = _kind(member)
        if kind is None:
            return
        name, fault = member.name, member.fault
        try:
            name = plain_name(member.name) if member.name else ""
        except ValueError as error:
            name, fault = member.name.encode("utf-8", "backslashreplace").decode(), str(error)
            name = name.replace("\0", "\\x00")
        values = (
            name or None, stem_of(name), name.rpartition("/")[2], kind, member.size, member.offset,
            member.header, member.packed, member.method, member.content, fault,
            None if fault or name == member.name else member.name, member.archive,
        )  # fmt: skip
        added = self._database.execute(
            "INSERT OR IGNORE INTO members (name, stem, base, kind, size, offset, header, packed, method, "
            "content, fault, stored_name, archive) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        self.repeated += added.rowcount == 0


def _kind(member: Member) -> str | None:
    suffix = suffix_of(member.name)
    if member.is_folder or is_ignored(member.name):
        return None
    if suffix in VIDEO_SUFFIXES or not member.name:  # without a name: damage
        return "video"
    return "text" if suffix in SIDECAR_SUFFIXES and not member.fault else None


def _member(values: tuple[str | None, int, int, int, int, int, bytes, str, str | None, int]) -> Member:
    name, size, offset, header, packed, method, content, fault, stored_name, archive = values
    return Member(
        name or "", size, offset, header, packed, method, content, fault,
        stored_name=stored_name, archive=archive,
    )  # fmt: skip
