"""The members of a tar: names, offsets and sizes, and the contents of small texts."""

import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from core.errors import AnimaticError
from pipelines.sources.listings.members import MAX_MEMBER_BYTES, Member
from pipelines.sources.listings.names import SIDECAR_SUFFIXES, suffix_of
from pipelines.sources.listings.sidecars import MAX_BYTES

_MAX_READ = 2 << 20  # bytes of one extended header, or of a text
# What reading a damaged archive raises. RecursionError: extended headers of extended headers.
_DAMAGE = (tarfile.TarError, EOFError, ValueError, zlib.error, RecursionError)


def tar_members(data: BinaryIO, size: int | None, path: str, *, is_compressed: bool) -> Iterator[Member]:
    """Every member in order.

    Args:
        data: the decompressed archive; of a compressed one only read in order.
        size: of the archive in bytes, if it is known and not compressed.
        path: for messages.
        is_compressed: whether offsets have no meaning outside.

    Raises AnimaticError if not even the first member can be read. Later damage is a member with a fault.
    """
    count, last = 0, -1
    try:
        guarded = _Guarded(data)
        with tarfile.open(fileobj=cast(BinaryIO, guarded), mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined] # it would keep all of them
                if info.offset <= last:
                    raise tarfile.ReadError("a header points backwards")
                last = info.offset
                yield _member(tar, info, size, is_compressed=is_compressed)
                count += 1
            # tarfile takes whatever is no header for the end.
            if len(guarded.last) < tarfile.BLOCKSIZE or guarded.last.strip(b"\0"):
                raise tarfile.ReadError("it was cut off, or its next header is damaged")
    except _DAMAGE as error:
        if not count:
            raise AnimaticError(
                f"the archive {path} cannot be read ({' '.join(str(error).split()) or 'empty'}): replace it, "
                "or leave it out"
            ) from error
        reason = str(error) or type(error).__name__
        yield Member("", 0, fault=f"damaged after {count} members: {reason}"[:200])


class _Guarded:
    """The file as tarfile reads it, which takes the sizes in headers on trust."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self.last = data, b""
        self.tell = data.tell

    def seek(self, offset: int) -> int:
        if not 0 <= offset < MAX_MEMBER_BYTES:
            raise tarfile.ReadError("a header with a size that no file has")
        return self._data.seek(offset)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._data.read(size)
        return self.last


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, size: int | None, *, is_compressed: bool) -> Member:
    if not info.isreg():
        kind = "a folder" if info.isdir() else "a link" if info.issym() or info.islnk() else "no file"
        return Member(info.name, 0, fault=f"it is {kind}", is_folder=info.isdir())
    if info.issparse():
        return Member(info.name, 0, fault="it is sparse: unpack the archive")
    end = info.offset_data + info.size
    if info.size < 0 or end > (MAX_MEMBER_BYTES if size is None else size):
        return Member(info.name, 0, fault=f"it has {info.size} bytes, more than the archive")
    content = None
    if suffix_of(info.name) in SIDECAR_SUFFIXES:
        file = tar.extractfile(info)
        content = file.read(MAX_BYTES + 1) if file is not None else None
    offset = None if is_compressed else info.offset_data
    return Member(info.name, info.size, offset=offset, content=content)
