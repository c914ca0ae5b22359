"""The JSON records of a dataset on disk: dataset.json, unit manifests, the rows of both tables, KEY.json.

They are dictionaries because their bytes are hashed: a record that was read is compared, copied and hashed
as it is, with fields that this version does not know. Fields that earlier versions lack are NotRequired.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, NotRequired

from pydantic import JsonValue
from typing_extensions import TypedDict  # pydantic does not take typing's before Python 3.12

from pipelines.video import ClipRecord, RungRecord, rung_member

FORMAT = 1

Settings = dict[str, JsonValue]  # a configuration as JSON

Member = Literal["jpg", "json", "mp4", "txt"]
MEMBERS: tuple[Member, ...] = ("jpg", "json", "mp4", "txt")


class ByteRange(NamedTuple):
    """Where the content of one member is stored in its tar."""

    offset: int
    size: int


class ShardRecord(TypedDict):
    """A finished tar: file name, digest, bytes, and number of samples."""

    name: str
    sha256: str
    bytes: int
    samples: int


class SampleInfo(ClipRecord):
    """KEY.json: the clip, and the row of the table (``record``) and the file that it comes from.

    ``captions`` are all of the clip, the first of which is its caption in KEY.txt, if it has several.
    """

    source_id: str
    source_sha256: NotRequired[str]
    record: NotRequired[dict[str, str]]
    captions: NotRequired[list[str]]


class RungRow(RungRecord):
    """A further encoding of a clip, and where its file is stored."""

    offset: int
    size: int


class SampleRow(TypedDict):
    """A row of samples.parquet, and of the unit manifest that it comes from.

    ``text`` and ``phash`` are None where they were not measured; ``more_jpg_…`` locate KEY.1.jpg, …;
    ``rungs`` are the further encodings of the clip, if it has any, ``more_captions`` its captions besides
    ``caption`` if it has several.
    """

    key: str
    shard: str
    jpg_offset: int
    jpg_size: int
    json_offset: int
    json_size: int
    mp4_offset: int
    mp4_size: int
    txt_offset: int
    txt_size: int
    caption: str
    width: int
    height: int
    frames: int
    fps: float
    duration: float
    source_id: str
    condition_frame: int
    motion: float
    brightness: float
    text: NotRequired[float | None]
    phash: NotRequired[str | None]
    more_jpg_offset: NotRequired[list[int]]
    more_jpg_size: NotRequired[list[int]]
    more_captions: NotRequired[list[str] | None]
    rungs: NotRequired[list[RungRow]]


def range_columns(ranges: Mapping[str, ByteRange]) -> dict[str, int]:
    """Columns of a table that locate the members of a sample: MEMBER_offset and MEMBER_size."""
    columns: dict[str, int] = {}
    for member, where in ranges.items():
        columns[f"{member}_offset"], columns[f"{member}_size"] = where
    return columns


def member_ranges(row: SampleRow) -> dict[str, ByteRange]:
    """Members of a sample in the order of its tar."""
    ranges: dict[str, ByteRange] = {
        "jpg": ByteRange(row["jpg_offset"], row["jpg_size"]),
        "json": ByteRange(row["json_offset"], row["json_size"]),
        "mp4": ByteRange(row["mp4_offset"], row["mp4_size"]),
        "txt": ByteRange(row["txt_offset"], row["txt_size"]),
    }
    further = zip(row.get("more_jpg_offset") or (), row.get("more_jpg_size") or (), strict=True)
    ranges |= {f"{number}.jpg": ByteRange(*where) for number, where in enumerate(further, start=1)}
    rungs = row.get("rungs") or ()
    return ranges | {rung_member(rung["rung"]): ByteRange(rung["offset"], rung["size"]) for rung in rungs}


class RowOutcome(TypedDict):
    """What became of one row of the source table.

    ``dropped`` counts clips by reason; ``reason``, ``detail`` and ``record`` (the row itself) are those of a
    rejected row, that is, of one without samples; ``captions`` are those of later rows of its video, if any.
    """

    row: int
    source_id: str
    samples: int
    dropped: NotRequired[dict[str, int]]
    reason: NotRequired[str]
    detail: NotRequired[str]
    record: NotRequired[dict[str, str]]
    captions: NotRequired[list[str]]


class UnitSource(TypedDict, total=False):
    """What a unit was made from: number and digest of its rows, and digest of the settings.

    Earlier versions recorded the rows alone, and before that nothing.
    """

    rows: int
    sha256: str
    settings: str


class UnitManifest(TypedDict):
    """units/unit-….json of an ingested dataset; its presence commits the unit."""

    format: int
    unit: int
    source: NotRequired[UnitSource]
    shard: ShardRecord
    samples: list[SampleRow]
    rows: list[RowOutcome]


class Counts(TypedDict):
    """Totals of rows and samples, and of rejected rows and dropped clips by reason."""

    rows: int
    samples: int
    rejected_rows: int
    reasons: dict[str, int]
    dropped_clips: dict[str, int]


class UnitCounts(Counts):
    """Totals of one unit, and the bytes of its tar."""

    bytes: int


class ReplacedShard(TypedDict):
    """A tar as it was before samples were removed from it."""

    name: str
    sha256: str


class Takedown(TypedDict):
    """Source videos that were removed from a dataset.

    ``digest`` and ``shards`` are those before: of the dataset, None if its ingest had not finished, and of
    the tars that were rewritten. ``samples`` and ``rows`` count what was removed; ``source_ids`` are the
    sha256 of the videos' ids.
    """

    date: str
    reason: str
    digest: str | None
    samples: int
    rows: int
    shards: list[ReplacedShard]
    source_ids: list[str]


class DatasetRecord(TypedDict):
    """dataset.json: the completion record of a dataset.

    ``config`` are the settings that decided its bytes; ``files`` are sha256 of manifests and tables by name;
    ``history``: what was taken down, if anything was.
    """

    format: int
    config: Settings
    counts: Counts
    shards: Sequence[ShardRecord]
    files: dict[str, str]
    digest: str
    history: NotRequired[list[Takedown]]
