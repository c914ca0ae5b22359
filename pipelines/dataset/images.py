"""Image WebDatasets (``KEY.jpg`` + ``KEY.txt``, as img2dataset writes them) indexed for stage 1.

The tars stay as they are; ``dataset.json`` and the tables are written beside them, and the folder is a
dataset whose samples have no clip.
"""

import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict, cast

from PIL import Image
from webdataset.handlers import ignore_and_continue
from webdataset.tariterators import group_by_keys

from core.errors import AnimaticError, RejectedError
from core.files import sha256
from core.storage import Folder
from pipelines.dataset.dataset_record import DATASET, write_dataset_record
from pipelines.dataset.hashing_reader import HashingReader
from pipelines.dataset.records import ByteRange, Counts, DatasetRecord, Settings, ShardRecord
from pipelines.dataset.tables import DatasetTables, RejectedRow, writing_tables
from pipelines.video.frames import UNREADABLE_IMAGE

IMAGES = ("jpg", "jpeg", "png", "webp")
CAPTION = "txt"
CONFIG: Settings = {"kind": "images"}
_REMEDY = "download it again, or move it out of the folder"


class ImageRow(TypedDict):
    """A row of samples.parquet for an image; the columns of a clip are null."""

    key: str
    shard: str
    jpg_offset: int
    jpg_size: int
    source_id: str
    caption: str
    frames: int
    fps: float
    duration: float
    width: int
    height: int


def index_images(
    url: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> DatasetRecord:
    """Write a dataset's tables beside the tars of a folder or URL; returns the content of dataset.json.

    Samples without image or caption are rejected and counted. ``progress`` gets (tars done, tars).
    Raises AnimaticError if the folder has no tars or an ingested dataset, or if a tar is cut.
    """
    folder = Folder(url)
    names = [name for name in folder.names() if name.endswith(".tar")]
    if not names:
        raise AnimaticError(f"no tars in {folder}; name the folder that img2dataset wrote")
    if folder.exists("ingest.json"):
        raise AnimaticError(f"{folder} was written by `animatic ingest`: train on it as it is")
    shards: list[ShardRecord] = []
    reasons: Counter[str] = Counter()
    with writing_tables(folder) as tables:
        for done, name in enumerate(names, start=1):
            shards.append(_index(folder, name, tables, reasons))
            progress(done, len(names))
        if not any(shard["samples"] for shard in shards):
            raise AnimaticError(f"{folder}: no tar holds an image with a caption ({dict(reasons)})")
        digests = {name: sha256(path) for name, path in tables.finish().items()}
        # An earlier dataset.json does not describe the tables that are about to replace its own.
        folder.remove(DATASET)
    return write_dataset_record(folder, CONFIG, _counts(shards, reasons), shards, digests)


def _counts(shards: list[ShardRecord], reasons: Counter[str]) -> Counts:
    samples = sum(shard["samples"] for shard in shards)
    return {
        "rows": samples + reasons.total(),
        "samples": samples,
        "rejected_rows": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
        "dropped_clips": {},
    }


def _index(folder: Folder, name: str, tables: DatasetTables, reasons: Counter[str]) -> ShardRecord:
    """Write the rows of one tar into the tables, and count its rejected samples in ``reasons``."""
    samples, reader = _read_tar(folder, name)
    rows: list[ImageRow] = []
    rejects: list[RejectedRow] = []
    for key, sample in samples.items():
        try:
            rows.append(_row(name, key, sample))
        except RejectedError as error:
            number, reason = reasons.total(), error.reason
            rejects.append(
                {"row": number, "source_id": key, "reason": reason, "detail": name, "record": "{}"}
            )
            reasons[reason] += 1
    tables.samples.add(rows)
    tables.rejects.add(rejects)
    return {"name": name, "sha256": reader.sha256, "bytes": reader.size, "samples": len(rows)}


@dataclass
class _Sample:
    """What a tar holds under one key: the first image and its size (width, height), and the caption."""

    image: ByteRange | None = None
    size: tuple[int, int] | None = None
    caption: str | None = None


@dataclass(frozen=True)
class _Member:
    """A file of a tar; ``content`` is empty where it is neither image nor caption."""

    where: ByteRange
    content: bytes


def _read_tar(folder: Folder, name: str) -> tuple[dict[str, _Sample], HashingReader]:
    """Samples by key, in the order of the tar. Raises AnimaticError if it is cut."""
    samples: dict[str, _Sample] = {}
    with folder.open(name) as file:
        reader = HashingReader(file, keep=2 * tarfile.BLOCKSIZE)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|") as tar:
                # Of members with equal names, the first is taken.
                for group in group_by_keys(_members(tar, name), handler=ignore_and_continue):
                    # A key may come back later in the tar, as in one with all images before all captions.
                    _add(samples.setdefault(group["__key__"], _Sample()), group)
        except tarfile.TarError as error:
            raise AnimaticError(f"{folder}/{name} is cut or damaged ({error}): {_REMEDY}") from error
        reader.exhaust()
    if reader.tail.strip(b"\0"):
        # A tar cut between two members reads without an error.
        raise AnimaticError(f"{folder}/{name} is cut, its end is missing: {_REMEDY}")
    return samples, reader


class _File(TypedDict):
    """What webdataset's ``group_by_keys`` takes; it does not look into ``data``."""

    fname: str
    data: _Member
    __url__: str


def _members(tar: tarfile.TarFile, shard: str) -> Iterator[_File]:
    """The files of a tar for webdataset to group into samples.

    Its own reader passes on names and contents without offsets, by which training reads single images.
    """
    for member in tar:
        if not member.isfile():
            continue
        folder, _, file = member.name.rpartition("/")
        content = b""
        if file.rpartition(".")[2].lower() in (*IMAGES, CAPTION):
            stored = tar.extractfile(member)
            content = stored.read() if stored is not None else b""
        data = _Member(ByteRange(member.offset_data, member.size), content)
        yield {"fname": member.name if folder.strip(".") else file, "data": data, "__url__": shard}


def _add(sample: _Sample, group: dict[str, _Member]) -> None:
    """Add the members of one key to a sample."""
    for extension, member in group.items():
        if extension in IMAGES and sample.image is None:
            sample.image, sample.size = member.where, _size(member.content)
        elif extension == CAPTION and sample.caption is None:
            sample.caption = member.content.decode("utf-8", "replace").strip()


def _size(content: bytes) -> tuple[int, int] | None:
    """Width and height of an image, None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except UNREADABLE_IMAGE:
        return None


def _row(shard: str, key: str, sample: _Sample) -> ImageRow:
    """Row of samples.parquet. Raises RejectedError."""
    if sample.image is None:
        raise RejectedError("no_image")
    if sample.size is None:
        raise RejectedError("corrupt")
    if not sample.caption:
        raise RejectedError("no_caption")
    return {
        "key": f"{shard.removesuffix('.tar')}-{key}",  # another tar may have the same key
        "shard": shard,
        "jpg_offset": sample.image.offset,
        "jpg_size": sample.image.size,
        "source_id": key,
        "caption": sample.caption,
        "frames": 0,
        "fps": 0.0,
        "duration": 0.0,
        "width": sample.size[0],
        "height": sample.size[1],
    }
