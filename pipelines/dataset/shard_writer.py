"""Shards written through webdataset over a stream that hashes and counts: fixed headers, known offsets."""

import hashlib
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pipelines.dataset.records import ByteRange, ShardRecord

MODE = 0o644


class _HashingStream:
    """A file that is written from front to back, hashed and counted."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> int:
        if self._file.closed:
            return len(data)  # a tar that was given up flushes its buffer when it is collected
        self._hash.update(data)
        self.bytes += len(data)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class ShardWriter:
    """Writes a tar whose bytes depend on names and contents alone. Use it as a context manager."""

    def __init__(self, path: Path, name: str) -> None:
        """``name`` is what the shard's record calls it, whatever ``path`` it is written to."""
        # webdataset imports torch, which takes seconds: only processes that write shards pay for it.
        from webdataset.writer import TarWriter

        self._stream = _HashingStream(path)
        self._tar = TarWriter(self._stream, user="", group="", mode=MODE, mtime=0, encoder=False)
        self.name = name
        self._samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def add(self, key: str, members: Mapping[str, bytes]) -> dict[str, ByteRange]:
        """Append the members (extension to content) of one sample; returns where each is stored."""
        if not key or set(key) & set("./\\ "):
            raise ValueError(f"not a sample key: {key!r}")
        ranges: dict[str, ByteRange] = {}
        for member, content in members.items():
            # One by one: webdataset sorts the members of one call, which would put KEY.1.jpg before KEY.jpg.
            self._tar.write({"__key__": key, member: content})
            padded = len(content) + -len(content) % tarfile.BLOCKSIZE
            ranges[member] = ByteRange(self._tar.tarstream.offset - padded, len(content))
        self._samples += 1
        return ranges

    def finish(self) -> ShardRecord:
        """Write the end of the tar; nothing can be added afterwards."""
        self._tar.close()
        stream = self._stream
        return {
            "name": self.name,
            "sha256": stream.sha256,
            "bytes": stream.bytes,
            "samples": self._samples,
        }
