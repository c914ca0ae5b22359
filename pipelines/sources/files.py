"""One file of a source, local or behind any fsspec URL."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Literal, Protocol

import fsspec
from fsspec import AbstractFileSystem

from core.files import sha256_of
from core.urls import without_query

Kind = Literal["csv", "tsv", "json", "jsonl", "parquet", "folder", "tar", "zip"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BLOCK = 1 << 20


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
