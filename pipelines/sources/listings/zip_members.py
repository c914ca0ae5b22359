"""The members of a zip by its central directory, of which little is in memory at once.

Layout: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
4.3.16 (its end), 4.5.3 (sizes of zip64).
"""

import stat
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from core.errors import AnimaticError
from pipelines.sources.listings.members import MAX_MEMBER_BYTES, Member

_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_ENTRY_BYTES, LOCAL_BYTES, _END_BYTES, _LOCATOR_BYTES = 46, 30, 22, 20
_ENTRY_FORMAT = "<6H3L5H2L"
_MAX_COMMENT = 0xFFFF
_BLOCK = 1 << 20
_LARGE = 0xFFFFFFFF  # a value that is in the zip64 field
_STORED = 0
_METHODS = (_STORED, 8, 12, 14)  # stored, deflate, bzip2, LZMA: what Python's zipfile reads


class _Entry(NamedTuple):
    """The numbers of an entry of the central directory."""

    made_by: int
    needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_bytes: int
    extra_bytes: int
    comment_bytes: int
    disk: int
    internal: int
    attributes: int
    header: int

    @property
    def texts_bytes(self) -> int:
        """Of name, fields and comment, which follow."""
        return self.name_bytes + self.extra_bytes + self.comment_bytes


class _Directory(NamedTuple):
    """Where the central directory is. ``shift``: bytes before the archive, as of a self-extracting one."""

    start: int
    size: int
    shift: int


def zip_members(data: BinaryIO, size: int, path: str) -> Iterator[Member]:
    """Every member in the order of the central directory.

    ``header`` is the offset of the local header of a member that is stored as it is. Raises AnimaticError if
    there is no central directory. Later damage is a member with a fault.
    """
    try:
        directory = _directory(data, size)
    except (ValueError, struct.error) as error:
        raise AnimaticError(
            f"the archive {path} cannot be read ({error}): replace it, or leave it out"
        ) from error
    data.seek(directory.start)
    buffer, at, left, count = b"", 0, directory.size, 0
    while left or len(buffer) - at >= _ENTRY_BYTES:
        while left and len(buffer) - at < _ENTRY_BYTES + 3 * 0xFFFF:
            block = data.read(min(_BLOCK, left))
            if not block:
                left = 0
            buffer, at, left = buffer[at:] + block, 0, max(0, left - len(block))
        if len(buffer) - at < _ENTRY_BYTES or not buffer.startswith(_ENTRY, at):
            yield Member("", 0, fault=f"damaged after {count} members: no entry of the directory")
            return
        entry = _Entry(*struct.unpack_from(_ENTRY_FORMAT, buffer, at + len(_ENTRY)))
        begin, at = at + _ENTRY_BYTES, at + _ENTRY_BYTES + entry.texts_bytes
        yield _member(buffer[begin:at], entry, directory.shift, size)
        count += 1


def data_offset(header: bytes, offset: int) -> int:
    """Where a member's bytes begin, from its local header at ``offset``. Raises ValueError."""
    if len(header) < LOCAL_BYTES or not header.startswith(_LOCAL):
        raise ValueError("its local header is damaged")
    name, extra = struct.unpack("<2H", header[26:30])
    return offset + LOCAL_BYTES + int(name) + int(extra)


def _directory(data: BinaryIO, size: int) -> _Directory:
    tail_start = max(0, size - _END_BYTES - _MAX_COMMENT - _LOCATOR_BYTES)
    data.seek(tail_start)
    tail = data.read(size - tail_start)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise ValueError("it is no zip, or was cut off")
    length, start = struct.unpack("<2L", tail[at + 12 : at + 20])
    end = tail_start + at
    locator = tail[at - _LOCATOR_BYTES : at] if at >= _LOCATOR_BYTES else b""
    if locator.startswith(_LOCATOR_64):
        offset = struct.unpack("<Q", locator[8:16])[0]
        if offset > end:
            raise ValueError("the end of its directory is damaged")
        data.seek(offset)
        record = data.read(56)
        if not record.startswith(_END_64):
            raise ValueError("the end of its directory is damaged")
        length, start = struct.unpack("<2Q", record[40:56])
        end -= _LOCATOR_BYTES + 56
    shift = end - length - start
    if shift < 0:
        raise ValueError("the end of its directory is damaged")
    return _Directory(start + shift, length, shift)


def _member(texts: bytes, entry: _Entry, shift: int, archive_bytes: int) -> Member:
    """``texts``: name and fields that follow the entry."""
    name = texts[: entry.name_bytes].decode("utf-8" if entry.flags & 0x800 else "cp437", "surrogateescape")
    if name.endswith("/"):
        return Member(name, 0, is_folder=True)
    fault = ""
    if stat.S_ISLNK(entry.attributes >> 16):
        fault = "it is a link"
    elif entry.flags & 1:
        fault = "it is encrypted"
    elif entry.method not in _METHODS:
        fault = f"it has compression method {entry.method}"
    extra = texts[entry.name_bytes : entry.name_bytes + entry.extra_bytes]
    size, packed, header = _large(extra, entry.size, entry.packed, entry.header)
    header += shift
    is_short = header + LOCAL_BYTES + packed > archive_bytes
    if is_short or size > MAX_MEMBER_BYTES or (entry.method == _STORED and size != packed):
        fault = fault or f"it has {max(packed, size)} bytes, which are not in the archive"
    if fault:
        return Member(name, 0, fault=fault)
    return Member(name, size, header=header, packed=packed, method=entry.method)


def _large(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """The values, with those of the zip64 field where they are too large for 32 bits."""
    values = [size, packed, header]
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == 1:
            field = extra[4 : 4 + length]
            for index, value in enumerate(values):
                if value == _LARGE and len(field) >= 8:
                    values[index], field = struct.unpack("<Q", field[:8])[0], field[8:]
        extra = extra[4 + length :]
    return values[0], values[1], values[2]
