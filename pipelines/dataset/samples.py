"""Samples as they go into the shards of a dataset, new ones and ones that are copied from another tar."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from core.canonical_json import canonical_json
from pipelines.dataset.records import (
    MEMBERS,
    ByteRange,
    Member,
    RungRow,
    SampleInfo,
    SampleRow,
    range_columns,
)
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.video import RungRecord, rung_member


@dataclass(frozen=True)
class Sample:
    """One clip to be stored: ``info`` becomes KEY.json, ``more_jpgs`` become KEY.1.jpg, KEY.2.jpg, ….

    ``more_captions`` are those that training draws from besides ``caption``; ``rungs`` are the further
    encodings that ``info`` lists, in their order.
    """

    key: str
    jpg: bytes
    mp4: bytes
    caption: str
    info: SampleInfo
    more_jpgs: list[bytes] = field(default_factory=list)
    more_captions: list[str] = field(default_factory=list)
    rungs: list[bytes] = field(default_factory=list)

    def member(self, member: Member) -> bytes:
        """Bytes of one member of the tar."""
        if member == "json":
            return canonical_json(self.info)
        if member == "txt":
            return self.caption.encode()
        return self.jpg if member == "jpg" else self.mp4

    def members(self) -> dict[str, bytes]:
        """Contents by extension, in the order in which they are stored."""
        images = {f"{number}.jpg": image for number, image in enumerate(self.more_jpgs, start=1)}
        names = [rung_member(rung["rung"]) for rung in self.info.get("rungs", [])]
        rungs = dict(zip(names, self.rungs, strict=True))
        return {**{member: self.member(member) for member in MEMBERS}, **images, **rungs}


@dataclass(frozen=True)
class StoredSample:
    """A sample read from another tar: contents by extension, and its row in that unit's manifest."""

    members: dict[str, bytes]
    row: SampleRow


def add_sample(writer: ShardWriter, sample: Sample | StoredSample) -> SampleRow:
    """Append one sample to a shard; returns its row of the unit's manifest."""
    if isinstance(sample, StoredSample):
        stored = writer.add(sample.row["key"], sample.members)
        rungs = sample.row.get("rungs") or []
        return cast(SampleRow, {**sample.row, "shard": writer.name, **_columns(stored, rungs)})
    info, scores = sample.info, sample.info["scores"]
    ranges = writer.add(sample.key, sample.members())
    row: dict[str, object] = {
        "key": sample.key,
        "shard": writer.name,
        **_columns(ranges, info.get("rungs", [])),
        "caption": sample.caption,
        "width": info["width"],
        "height": info["height"],
        "frames": info["frames"],
        "fps": info["fps"],
        "duration": info["duration"],
        "source_id": info["source_id"],
        "condition_frame": info["condition_frame"],
        "motion": scores["motion"],
        "brightness": scores["brightness"],
        "text": scores.get("text"),
        "phash": info.get("phash"),
    }
    if sample.more_captions:
        row["more_captions"] = sample.more_captions
    return cast(SampleRow, row)


def _columns(
    ranges: dict[str, ByteRange], rungs: Sequence[RungRecord]
) -> dict[str, int | list[int] | list[RungRow]]:
    """Columns of a row that locate the members of its sample."""
    images = [where for member, where in ranges.items() if member.endswith(".jpg")]
    columns: dict[str, int | list[int] | list[RungRow]] = {
        **range_columns({member: ranges[member] for member in MEMBERS}),
        "more_jpg_offset": [where.offset for where in images],
        "more_jpg_size": [where.size for where in images],
    }
    if rungs:
        columns["rungs"] = [_located(rung, ranges[rung_member(rung["rung"])]) for rung in rungs]
    return columns


def _located(rung: RungRecord, where: ByteRange) -> RungRow:
    return cast(RungRow, {**rung, "offset": where.offset, "size": where.size})
