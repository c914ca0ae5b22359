"""Samples as members of a tar that stock ``webdataset`` reads, with fixed headers and known offsets."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pipelines.storage import canonical_json

Member = Literal["jpg", "json", "mp4", "txt"]
MEMBERS: tuple[Member, ...] = ("jpg", "json", "mp4", "txt")


@dataclass(frozen=True)
class Sample:
    """One clip as it is stored.

    ``info`` becomes KEY.json and has at least width, height, frames, fps, duration (seconds), source_id,
    condition_frame and scores (motion, brightness).
    """

    key: str
    jpg: bytes
    mp4: bytes
    caption: str
    info: dict[str, Any]

    def member(self, member: Member) -> bytes:
        """Bytes of one member of the tar."""
        if member == "json":
            return canonical_json(self.info)
        if member == "txt":
            return self.caption.encode()
        return self.jpg if member == "jpg" else self.mp4


class ShardWriter:
    """Writes a tar whose bytes depend on the samples alone, and notes where each member lies."""

    def __init__(self, path: Path, name: str) -> None:
        self._file = path.open("wb")
        self._name = name
        self._hash = hashlib.sha256()
        self._bytes = 0
        self.rows: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
            self._write(b"\0" * (-self._bytes % tarfile.RECORDSIZE))
        self._file.close()

    def add(self, sample: Sample) -> None:
        """Append the members of one sample."""
        if not sample.key or set(sample.key) & set("./\\ "):
            raise ValueError(f"not a sample key: {sample.key!r}")
        places: dict[str, int] = {}
        for member in MEMBERS:
            data = sample.member(member)
            header = tarfile.TarInfo(f"{sample.key}.{member}")
            header.size = len(data)
            self._write(header.tobuf(tarfile.USTAR_FORMAT))
            places |= {f"{member}_offset": self._bytes, f"{member}_size": len(data)}
            self._write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
        copied = ("width", "height", "frames", "fps", "duration", "source_id", "condition_frame")
        row = {"key": sample.key, "shard": self._name, **places, "caption": sample.caption}
        row |= {name: sample.info[name] for name in copied}
        row |= {name: sample.info["scores"][name] for name in ("motion", "brightness")}
        self.rows.append(row)

    def summary(self) -> dict[str, Any]:
        """Name, sha256, bytes and samples of the closed tar."""
        digest = self._hash.hexdigest()
        return {"name": self._name, "sha256": digest, "bytes": self._bytes, "samples": len(self.rows)}

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)
