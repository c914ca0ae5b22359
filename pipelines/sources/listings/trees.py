"""What videos are in: a folder, a tar or a zip. Lists members, reads small ones, and gives addresses."""

import hashlib
import itertools
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from pipelines.sources.listings.members import Member
from pipelines.sources.listings.names import is_ignored
from pipelines.sources.listings.sidecars import MAX_BYTES
from pipelines.sources.listings.tar_members import tar_members
from pipelines.sources.listings.zip_members import LOCAL_BYTES, data_offset, zip_members
from pipelines.sources.member_address import MemberAddress

_BLOCK = 64 << 10  # of a remote archive: headers are far apart
_COMPRESSIONS = {"gz": "gzip", "tgz": "gzip", "bz2": "bz2", "tbz2": "bz2", "xz": "xz", "txz": "xz"}
# Where file systems report that a file has changed, the most reliable first.
_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
_STORED, _DEFLATED = 0, 8


class Found(NamedTuple):
    """A file of a folder: its path below it, its size, and what changes with it."""

    name: str
    size: int | None
    stamp: str


class Tree(Protocol):
    """A folder or archive of videos."""

    def members(self) -> Iterator[Member]:
        """Every file. Raises AnimaticError if there is nothing to read."""
        ...

    def texts(self, members: Sequence[Member]) -> list[bytes]:
        """The first bytes, more than MAX_BYTES of a larger one, of small members; none of one that fails."""
        ...

    def addresses(self, members: Sequence[Member], url: str) -> list[str | ValueError]:
        """Where each member is, as contentUrl records it, or why it cannot be read.

        ``url``: path or URL of the tree itself; empty for a folder.
        """
        ...


class FolderTree:
    """The files below a folder."""

    def __init__(self, filesystem: AbstractFileSystem, path: str) -> None:
        self._filesystem, self._path = filesystem, path

    def members(self) -> Iterator[Member]:
        """Every file. Files whose names cannot be recorded have a fault."""
        for found in files_below(self._filesystem, self._path):
            yield Member(found.name, found.size or 0)

    def texts(self, members: Sequence[Member]) -> list[bytes]:
        """See :class:`Tree`. Raises what the file system does."""
        paths = [f"{self._path.rstrip('/')}/{member.name}" for member in members]
        if isinstance(self._filesystem, LocalFileSystem):
            return [_beginning(path) for path in paths]
        ends = [MAX_BYTES + 1] * len(paths)
        found = self._filesystem.cat_ranges(paths, [0] * len(paths), ends, on_error="return")
        return [content if isinstance(content, bytes) else b"" for content in found]

    def addresses(self, members: Sequence[Member], url: str) -> list[str | ValueError]:
        """Paths below the folder."""
        return [member.name for member in members]


class TarTree:
    """The members of a tar, compressed or not."""

    def __init__(self, filesystem: AbstractFileSystem, path: str, size: int | None) -> None:
        self._filesystem, self._path, self._size = filesystem, path, size
        self._compression = _COMPRESSIONS.get(path.lower().rpartition(".")[2])

    def members(self) -> Iterator[Member]:
        """Every member. See :func:`tar_members`."""
        with opened(self._filesystem, self._path) as raw:
            is_compressed = self._compression is not None
            data = fsspec.compression.compr[self._compression](raw, mode="rb") if is_compressed else raw
            size = None if is_compressed else self._size
            yield from tar_members(data, size, self._path, is_compressed=is_compressed)

    def texts(self, members: Sequence[Member]) -> list[bytes]:
        """What was read in passing."""
        return [member.content or b"" for member in members]

    def addresses(self, members: Sequence[Member], url: str) -> list[str | ValueError]:
        """Ranges of bytes, or names in a compressed tar."""
        return [
            str(MemberAddress(url, offset=member.offset, size=member.size))
            if member.offset is not None
            else str(MemberAddress(url, member=member.stored_name or member.name))
            for member in members
        ]


class ZipTree:
    """The members of a zip."""

    def __init__(self, filesystem: AbstractFileSystem, path: str, size: int | None) -> None:
        self._filesystem, self._path, self._size = filesystem, path, size

    def members(self) -> Iterator[Member]:
        """Every member. See :func:`zip_members`."""
        if self._size is None:
            raise AnimaticError(f"the size of the archive {self._path} is not known: copy it to a disk")
        with opened(self._filesystem, self._path) as data:
            yield from zip_members(data, self._size, self._path)

    def texts(self, members: Sequence[Member]) -> list[bytes]:
        """See :class:`Tree`. Raises what the file system does."""
        offsets = self._offsets(members)
        ranges = [
            (offset, offset + (member.packed or 0)) if isinstance(offset, int) else (0, 0)
            for member, offset in zip(members, offsets, strict=True)
        ]
        return [
            _unpacked(content, member.method) if member.size <= MAX_BYTES else b" " * (MAX_BYTES + 1)
            for member, content in zip(members, self._read(ranges), strict=True)
        ]

    def addresses(self, members: Sequence[Member], url: str) -> list[str | ValueError]:
        """Ranges of bytes of members that are stored as they are, names of others."""
        stored = [member for member in members if member.method == _STORED]
        offsets = iter(self._offsets(stored))
        found: list[str | ValueError] = []
        for member in members:
            if member.method != _STORED:
                found.append(str(MemberAddress(url, member=member.stored_name or member.name)))
                continue
            offset = next(offsets)
            if isinstance(offset, int):
                found.append(str(MemberAddress(url, offset=offset, size=member.size)))
            else:
                found.append(offset)
        return found

    def _offsets(self, members: Sequence[Member]) -> list[int | ValueError]:
        headers = [member.header or 0 for member in members]
        found: list[int | ValueError] = []
        for header, content in zip(headers, self._read([(h, h + LOCAL_BYTES) for h in headers]), strict=True):
            try:
                found.append(data_offset(content, header))
            except ValueError as error:
                found.append(error)
        return found

    def _read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if isinstance(self._filesystem, LocalFileSystem):
            with Path(self._path).open("rb") as file:
                return [_range(file, start, end) for start, end in ranges]
        starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
        contents: list[bytes] = self._filesystem.cat_ranges([self._path] * len(ranges), starts, ends)
        return contents


def tree_of(filesystem: AbstractFileSystem, path: str, size: int | None) -> TarTree | ZipTree:
    """The archive at a path, by its name."""
    kind = ZipTree if path.lower().endswith(".zip") else TarTree
    return kind(filesystem, path, size)


def opened(filesystem: AbstractFileSystem, path: str) -> BinaryIO:
    """An archive, of which a remote one is read in small blocks."""
    if isinstance(filesystem, LocalFileSystem):
        return Path(path).open("rb")
    file: BinaryIO = filesystem.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
    return file


def files_below(filesystem: AbstractFileSystem, path: str) -> Iterator[Found]:
    """Every file below a folder, hidden ones left out, in no order. Raises what the file system does."""
    if isinstance(filesystem, LocalFileSystem):
        yield from _local_files(path)
        return
    for folder, _, files in filesystem.walk(path, detail=True):
        for name, entry in files.items():
            below = f"{folder}/{name}".removeprefix(path).strip("/")
            if not is_ignored(below):
                yield found_file(entry)._replace(name=below)


def found_file(entry: dict[str, Any]) -> Found:
    """A file as fsspec lists it, with its path."""
    path, size = str(entry["name"]), entry.get("size")
    if "mtime" in entry and "ino" in entry:  # local
        state = Path(path).stat()
        return Found(path, state.st_size, _local_stamp(state))
    return Found(path, size if isinstance(size, int) else None, _stamp(entry))


def stamp_of(files: Iterable[Found]) -> tuple[int, str]:
    """The sum of sizes of files, and a stamp that changes with any of them, in whatever order they come."""
    total, combined = 0, 0
    for file in files:
        total += file.size or 0
        content = repr(file).encode(errors="replace")
        combined ^= int.from_bytes(hashlib.blake2b(content, digest_size=16).digest())
    return total, f"{combined:032x}"


def _local_stamp(state: os.stat_result) -> str:
    return f"{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"


def _stamp(entry: dict[str, Any]) -> str:
    return next((str(entry[name]) for name in _STAMPS if entry.get(name)), "")


def _local_files(root: str) -> Iterator[Found]:
    """Links to files are files; links to folders are not followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(Path(root, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if is_ignored(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif entry.is_file():
                    state = entry.stat()
                    yield Found(name, state.st_size, _local_stamp(state))


def in_batches(members: Iterable[Member], size: int) -> Iterator[list[Member]]:
    """Members in lists of a size, the last being shorter."""
    members = iter(members)
    while batch := list(itertools.islice(members, size)):
        yield batch


def _beginning(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError:
        return b""


def _range(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _unpacked(content: bytes, method: int | None) -> bytes:
    if method == _STORED:
        return content
    if method != _DEFLATED:
        return b""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, MAX_BYTES + 1)
    except zlib.error:
        return b""
