"""The files of a source: one, a glob's, or a folder's, local or behind any fsspec URL."""

import io
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, Protocol, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from core.files import sha256_of
from core.urls import is_web, with_plain_scheme, without_credentials, without_query

Kind = Literal["csv", "tsv", "json", "jsonl", "parquet"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# Where file systems report that a file has changed, the most reliable first.
_STAMPS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
_BLOCK = 1 << 20

_Entry = dict[str, Any]  # a file as fsspec lists it; besides name, size and type, keys differ


class Digest(Protocol):
    """A hash in progress, as :mod:`hashlib` makes them."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        ...


@dataclass(frozen=True)
class SourceFile:
    """One file of the source.

    Attributes:
        name: relative to the source.
        path: within its file system.
        kind: its format, below the compression.
        size: bytes, if known.
        stamp: changes whenever the file does; None if the file system has nothing of the kind.
        filesystem: where it is stored.
    """

    name: str
    path: str
    kind: Kind
    size: int | None
    stamp: str | None
    filesystem: AbstractFileSystem

    @contextmanager
    def open(self, digest: Digest | None = None) -> Iterator[BinaryIO]:
        """The decompressed bytes. All raw bytes go into ``digest``, except those of a Parquet file."""
        with self.filesystem.open(self.path, "rb") as raw:
            if self.kind == "parquet":
                yield raw
                return
            source = io.BufferedReader(_HashingReader(raw, digest), _BLOCK)
            codec = self.compression
            yield fsspec.compression.compr[codec](source, mode="rb") if codec else source
            if digest is not None:
                while source.read(_BLOCK):
                    pass

    @property
    def compression(self) -> str | None:
        """As fsspec names it, by the file's name; None without, and for Parquet, which compresses itself."""
        if self.kind == "parquet":
            return None
        found: str | None = fsspec.utils.infer_compression(without_query(self.path))
        return found

    def sha256(self) -> str:
        """Digest of the raw bytes."""
        with self.filesystem.open(self.path, "rb") as raw:
            return sha256_of(raw)


class _HashingReader(io.RawIOBase):
    """Passes what is read from a file to a digest too."""

    def __init__(self, raw: IO[bytes], digest: Digest | None) -> None:
        self._raw, self._digest = raw, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        if self._digest is not None:
            self._digest.update(data)
        return len(data)


def find_files(url: str) -> list[SourceFile]:
    """The files of a source in the order of their names.

    A folder is searched recursively for tables; names that begin with a dot or an underscore are skipped.
    Raises AnimaticError if nothing is found or the source cannot be read.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(with_plain_scheme(url), use_listings_cache=False)
        entries = _entries(filesystem, str(path))
    except AnimaticError:
        raise
    except Exception as error:  # the libraries of stores have types of their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AnimaticError(
            f"the source table {without_credentials(f'{url} cannot be read: {reason}')}"
        ) from error
    if not entries:
        raise AnimaticError(
            f"the source {without_credentials(url)} has no table: no file name ends in {', '.join(KINDS)}"
        )
    root = posixpath.dirname(entries[0]["name"]) if len(entries) == 1 else _common_folder(entries)
    return [_file(filesystem, entry, root) for entry in sorted(entries, key=lambda entry: str(entry["name"]))]


def _entries(filesystem: AbstractFileSystem, path: str) -> list[_Entry]:
    if is_web(path) or not (set("*?[") & set(path)) or filesystem.exists(path):
        entry = filesystem.info(path)
        if entry["type"] == "other":
            raise AnimaticError(
                f"the source table {path} is no regular file; it is read several times: write it to a file"
            )
        if entry["type"] != "directory":
            return [entry]
        return _tables(path, filesystem.find(path, detail=True))
    found = filesystem.glob(path, detail=True)
    return [entry for entry in found.values() if entry["type"] == "file"]


def _tables(folder: str, found: dict[str, _Entry]) -> list[_Entry]:
    """The tables of a folder. JSON files beside tables of other formats describe these."""
    names = {name: posixpath.relpath(name, folder) for name in found}
    tables = [name for name, relative in names.items() if _is_table(relative)]
    others = [name for name in tables if KINDS[_suffix(name)] != "json"]
    return [found[name] for name in others or tables]


def _is_table(name: str) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return not hidden and _suffix(name) in KINDS


def _suffix(name: str) -> str:
    """The suffix of the format, without that of a compression."""
    path = Path(without_query(name))
    return (path.with_suffix("") if fsspec.utils.infer_compression(str(path)) else path).suffix.lower()


def _common_folder(entries: list[_Entry]) -> str:
    return posixpath.commonpath([posixpath.dirname(str(entry["name"])) for entry in entries])


def _file(filesystem: AbstractFileSystem, entry: _Entry, root: str) -> SourceFile:
    path = str(entry["name"])
    if isinstance(filesystem, LocalFileSystem):
        state = Path(path).stat()
        stamp: str | None = f"{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"
    else:
        stamp = next((str(entry[name]) for name in _STAMPS if entry.get(name)), None)
    return SourceFile(
        name=posixpath.relpath(path, root) if root else path,
        path=path,
        kind=KINDS.get(_suffix(path), "csv"),
        size=cast("int | None", entry.get("size")),
        stamp=stamp,
        filesystem=filesystem,
    )
