"""Samples as members of a tar that stock ``webdataset`` reads, with fixed headers and known offsets."""

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from core.canonical_json import canonical_json

Member = Literal["jpg", "json", "mp4", "txt"]
MEMBERS: tuple[Member, ...] = ("jpg", "json", "mp4", "txt")


@dataclass(frozen=True)
class Sample:
    """One clip as it is stored.

    ``info`` becomes KEY.json and has at least width, height, frames, fps, duration (seconds), source_id,
    condition_frame, scores (motion, brightness, and text if it was looked for) and perhaps a phash.
    ``more_jpgs`` are further frames, stored as KEY.1.jpg, KEY.2.jpg, ….
    """

    key: str
    jpg: bytes
    mp4: bytes
    caption: str
    info: dict[str, Any]
    more_jpgs: list[bytes] = field(default_factory=list)

    def member(self, member: Member) -> bytes:
        """Bytes of one member of the tar."""
        if member == "json":
            return canonical_json(self.info)
        if member == "txt":
            return self.caption.encode()
        return self.jpg if member == "jpg" else self.mp4


@dataclass(frozen=True)
class StoredSample:
    """A sample as it lies in another tar: its members in their order, and its row in that unit's manifest."""

    members: dict[str, bytes]
    row: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        """What the row tells besides where the sample lies."""
        places = ("_offset", "_size")
        return {n: v for n, v in self.row.items() if n not in ("key", "shard") and not n.endswith(places)}


class TarWriter:
    """Writes a tar whose bytes depend on names and contents alone, and keeps a row for each sample in it."""

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

    def add_members(self, key: str, members: Mapping[str, bytes], **about: Any) -> None:
        """Append the members (kind to content) of one sample; its row tells where they lie, and ``about``."""
        if not key or set(key) & set("./\\ "):
            raise ValueError(f"not a sample key: {key!r}")
        places: dict[str, int] = {}
        for member, data in members.items():
            header = tarfile.TarInfo(f"{key}.{member}")
            header.size = len(data)
            self._write(header.tobuf(tarfile.USTAR_FORMAT))
            places |= {f"{member}_offset": self._bytes, f"{member}_size": len(data)}
            self._write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
        self.rows.append({"key": key, "shard": self._name, **places, **about})

    def summary(self) -> dict[str, Any]:
        """Name, sha256, bytes and samples of the closed tar."""
        digest = self._hash.hexdigest()
        return {"name": self._name, "sha256": digest, "bytes": self._bytes, "samples": len(self.rows)}

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)


class ShardWriter(TarWriter):
    """Writes the tar of a dataset's unit."""

    def add(self, sample: Sample | StoredSample) -> None:
        """Append the members of one sample."""
        if isinstance(sample, StoredSample):
            self._append(sample.row["key"], sample.members, sample.about)
            return
        copied = ("width", "height", "frames", "fps", "duration", "source_id", "condition_frame")
        about = {name: sample.info[name] for name in copied}
        about |= {name: sample.info["scores"].get(name) for name in ("motion", "brightness", "text")}
        about |= {"phash": sample.info.get("phash"), "caption": sample.caption}
        members: dict[str, bytes] = {member: sample.member(member) for member in MEMBERS}
        more = {f"{number}.jpg": data for number, data in enumerate(sample.more_jpgs, start=1)}
        self._append(sample.key, members | more, about)

    def _append(self, key: str, members: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        self.add_members(key, members, **about)
        row, more = self.rows[-1], [name for name in members if name not in MEMBERS]
        for part in ("offset", "size"):
            row[f"more_jpg_{part}"] = [row.pop(f"{name}_{part}") for name in more]
