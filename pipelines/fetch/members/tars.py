"""Members of compressed tars, which can only be read from the beginning.

An archive stays open between members: those that are asked for in their order in it, as the rows of a unit
are, take one pass.
"""

import bz2
import gzip
import lzma
import tarfile
from typing import IO, cast

from core.errors import RejectedError
from pipelines.fetch.members.archive import BLOCK, Sink, missing_member
from pipelines.fetch.members.guarded_file import GuardedFile
from pipelines.sources import MemberAddress

_MAGIC_BYTES = 6
# A video hardly compresses: what expands a hundredfold beyond the first bytes is made to occupy its reader.
_FREE_BYTES = 256 << 20
_MOST_EXPANSION = 100


class TarMembers:
    """A tar, plain or compressed with gzip, bzip2 or xz."""

    def __init__(self, file: GuardedFile, max_bytes: int) -> None:
        """``max_bytes``: of a member. Raises UNREADABLE."""
        self._file, self._max_bytes = file, max_bytes
        self._restart()

    def read(self, address: MemberAddress, sink: Sink) -> None:
        """See :class:`pipelines.fetch.members.archive.Archive`."""
        name = address.member or ""
        member = self._next(name)
        if member is None and not self._is_first_pass:
            self._restart()
            member = self._next(name)
        if member is None:
            raise missing_member(name)
        if not member.isreg() or member.issparse():
            raise RejectedError("unreadable_archive", f"{name[:200]} is no regular file")
        if member.size > self._max_bytes:
            raise RejectedError("too_large", f"{member.size} bytes")
        remaining = member.size
        while remaining:
            block = self._content.read(min(BLOCK, remaining))
            if not block:
                raise RejectedError("unreadable_archive", "it ends within the member")
            remaining -= len(block)
            sink(block)

    def _restart(self) -> None:
        self._is_first_pass = True
        self._content = _Forward(self._file, _decompressed(self._file))
        self._archive = tarfile.TarFile(fileobj=cast("IO[bytes]", self._content))

    def _next(self, name: str) -> tarfile.TarInfo | None:
        """The next member of a name; None if none follows."""
        while (member := self._archive.next()) is not None:
            vars(self._archive)["members"].clear()  # tarfile keeps every member that it has seen
            if member.name == name:
                return member
            self._is_first_pass = False
        if self._content.last_block.strip(b"\0"):
            raise RejectedError("unreadable_archive", "a header is damaged")
        self._is_first_pass = False
        return None


def _decompressed(file: GuardedFile) -> IO[bytes]:
    file.seek(0)
    magic = file.read(_MAGIC_BYTES)
    file.seek(0)
    raw = cast("IO[bytes]", file)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if magic.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(raw)
    return raw


class _Forward:
    """Decompressed bytes, read once: to seek forward is to read, to seek back an error.

    Attributes:
        last_block: what the last read returned.
    """

    def __init__(self, file: GuardedFile, source: IO[bytes]) -> None:
        self._file, self._source, self._position = file, source, 0
        self._begun = file.progress
        self.last_block = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= BLOCK:
            raise RejectedError("unreadable_archive", f"a header claims {size} bytes")
        self.last_block = data = self._source.read(size)
        self._position += len(data)
        compressed = self._file.progress - self._begun
        if self._position > _FREE_BYTES + _MOST_EXPANSION * compressed:
            raise RejectedError("too_large", f"{compressed} bytes expand to more than {self._position}")
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        if whence or position < self._position:
            raise OSError("a compressed tar cannot be read backwards")
        while self._position < position and self.read(min(BLOCK, position - self._position)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position
