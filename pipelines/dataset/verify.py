"""A whole dataset read again: every digest, count, tar, sample and clip."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import av
import pyarrow.parquet as pq
from PIL import Image

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset import read_info
from pipelines.dataset.integrity import altered, compared
from pipelines.dataset.shard_writer import MEMBERS
from pipelines.dataset.units import committed_units, count_outcomes, read_unit, read_units, unit_name
from pipelines.video.frames import UNREADABLE_IMAGE

BLOCK = 1 << 20
SHOWN_A_SHARD = 20
DESCRIBED = ("width", "height", "frames", "fps", "duration", "source_id", "condition_frame")
PLACES = tuple(f"{member}_{part}" for member in MEMBERS for part in ("offset", "size"))


def verify(
    url: str | Path,
    *,
    deep: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """What is wrong with a dataset, one problem a line; nothing if it is whole.

    Reads every tar and sample: members present and where the tables say, JSON true to the tables, pictures of
    the right size, clips with as many frames as promised (counted by demuxing; ``deep`` decodes them).
    ``progress`` gets (shards done, shards).
    """
    folder = Folder(url)
    try:
        info = read_info(folder)
    except AnimaticError as error:
        return [str(error)]
    if info["config"].get("kind") == "images":
        whole = info["files"] | {shard["name"]: shard["sha256"] for shard in info["shards"]}
        return [problem for found in altered(folder, whole, threads) for problem in found]
    unknown = {unit_name(unit) for unit in range(len(info["shards"]))} - info["files"].keys()
    if unknown:
        return [f"dataset.json: tells no digest of {name}" for name in sorted(unknown)]
    files = dict(zip(info["files"], altered(folder, info["files"], threads), strict=True))
    problems = _strays(folder, info) + [problem for found in files.values() for problem in found]
    if not any(files.values()):
        problems += _accounts(folder, info)
    total = len(info["shards"])

    def check(unit: int) -> list[str]:
        # A manifest that was altered says nothing that a tar could be held to.
        rows = None if files[unit_name(unit)] else read_unit(folder, unit)["samples"]
        return _check_shard(folder, info["shards"][unit], rows, deep)

    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        for done, found in enumerate(pool.map(check, range(total)), start=1):
            problems += found
            progress(done, total)
    return problems


def _strays(folder: Folder, info: dict[str, Any]) -> list[str]:
    """Files that a reader of the folder would take for the dataset's."""
    expected = {shard["name"] for shard in info["shards"]}
    present = {name for name in folder.names() if name.startswith("shard-") and name.endswith(".tar")}
    units = committed_units(folder) - set(range(len(info["shards"])))
    return [f"{name}: not part of the dataset" for name in sorted(present - expected)] + [
        f"{unit_name(unit)}: not part of the dataset" for unit in sorted(units)
    ]


def _accounts(folder: Folder, info: dict[str, Any]) -> list[str]:
    """Whether the unit manifests, the tables and dataset.json tell the same."""
    problems: list[str] = []
    table = _table_rows(folder)
    units = range(len(info["shards"]))

    def outcomes() -> Iterator[dict[str, Any]]:
        for unit, manifest in zip(units, read_units(folder, units), strict=True):
            if manifest["shard"] != info["shards"][unit]:
                problems.append(f"{unit_name(unit)}: its shard is not that of dataset.json")
            if any(_place(row) != next(table, None) for row in manifest["samples"]):
                problems.append(f"samples.parquet: not the samples of {unit_name(unit)}")
            yield from manifest["rows"]

    counts = count_outcomes(outcomes())
    problems += compared("dataset.json", "its counts", info["counts"], counts)
    samples = sum(shard["samples"] for shard in info["shards"])
    problems += compared("dataset.json", "number of samples in shards", samples, counts["samples"])
    if next(table, None) is not None:
        problems.append("samples.parquet: more samples than in the units")
    rejects = pq.ParquetFile(io.BytesIO(folder.read("rejects.parquet"))).metadata.num_rows
    return problems + compared("rejects.parquet", "number of rows", rejects, counts["rejected_rows"])


def _table_rows(folder: Folder) -> Iterator[tuple[Any, ...]]:
    with folder.open("samples.parquet") as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=["key", "shard", *PLACES]):
            yield from map(_place, batch.to_pylist())


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["key"], row["shard"], *(row[name] for name in PLACES))


class _Hashed(io.RawIOBase):
    """A stream that remembers the digest and number of the bytes read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256, self.size = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self.size += len(data)
        return data


def _check_shard(
    folder: Folder, shard: dict[str, Any], rows: list[dict[str, Any]] | None, deep: bool
) -> list[str]:
    """Problems of one tar; ``rows`` None: only of its bytes."""
    name, problems = shard["name"], list[str]()
    try:
        with folder.open(name) as file:
            stream = _Hashed(file)
            if rows is not None:
                try:
                    problems += _check_samples(stream, name, rows, deep)
                except (tarfile.TarError, EOFError) as error:
                    problems.append(f"{name}: not a whole tar ({error})")
            while stream.read(BLOCK):
                pass
    except FileNotFoundError:
        return [f"{name}: missing"]
    if len(problems) > SHOWN_A_SHARD:
        problems[SHOWN_A_SHARD:] = [f"{name}: {len(problems) - SHOWN_A_SHARD} more problems"]
    digest = stream.sha256.hexdigest()
    return [
        *compared(name, "size", stream.size, shard["bytes"]),
        *compared(name, "sha256", digest[:12] + "…", shard["sha256"][:12] + "…"),
        *problems,
    ]


def _check_samples(stream: Any, shard: str, rows: list[dict[str, Any]], deep: bool) -> Iterator[str]:
    """Problems of the samples of a tar, which must be those of ``rows``, in order."""
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        members = iter(tar)
        for row in rows:
            found: dict[str, bytes] = {}
            for kind, offset, size in _members(row):
                member = next(members, None)
                name = f"{row['key']}.{kind}"
                if member is None or member.name != name:
                    yield f"{shard}: {name} is missing (found {member.name if member else 'the end'})"
                    return
                if (member.offset_data, member.size) != (offset, size):
                    yield f"{shard}: {name} lies elsewhere than the tables say"
                content = tar.extractfile(member)
                found[kind] = content.read() if content else b""
            for problem in _check_sample(row, found, deep):
                yield f"{shard}: {row['key']}: {problem}"
        extra = next(members, None)
        if extra is not None:
            yield f"{shard}: {extra.name} is in no table"


def _members(row: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    for kind in MEMBERS:
        yield kind, row[f"{kind}_offset"], row[f"{kind}_size"]
    more = zip(row.get("more_jpg_offset") or (), row.get("more_jpg_size") or (), strict=True)
    for number, (offset, size) in enumerate(more, start=1):
        yield f"{number}.jpg", offset, size


def _check_sample(row: dict[str, Any], members: dict[str, bytes], deep: bool) -> Iterator[str]:
    try:
        about = json.loads(members["json"])
        differing = [name for name in DESCRIBED if about.get(name) != row[name]]
    except (ValueError, AttributeError):
        differing = ["everything"]
    if differing:
        yield f"its json does not fit the tables ({', '.join(differing)})"
    if members["txt"] != row["caption"].encode():
        yield "its txt is not its caption"
    size = (row["width"], row["height"])
    for kind in members:
        if kind.endswith("jpg"):
            yield from (f"its {kind} {problem}" for problem in _check_picture(members[kind], size))
    yield from (f"its mp4 {problem}" for problem in _check_clip(members["mp4"], size, row["frames"], deep))


def _check_picture(data: bytes, size: tuple[int, int]) -> Iterator[str]:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            found = picture.size
            picture.load()
    except UNREADABLE_IMAGE as error:
        yield f"cannot be read ({type(error).__name__})"
        return
    if found != size:
        yield f"has {found[0]}x{found[1]} pixels, not {size[0]}x{size[1]}"


def _check_clip(data: bytes, size: tuple[int, int], frames: int, deep: bool) -> Iterator[str]:
    try:
        with av.open(io.BytesIO(data), format="mp4") as clip:
            stream = clip.streams.video[0]
            found = (stream.width, stream.height)
            stream.codec_context.thread_count = 1
            counted = (
                sum(1 for _ in clip.decode(stream))
                if deep
                else sum(packet.size > 0 for packet in clip.demux(stream))
            )
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        yield f"cannot be read ({type(error).__name__})"
        return
    if found != size:
        yield f"has {found[0]}x{found[1]} pixels, not {size[0]}x{size[1]}"
    if counted != frames:
        yield f"has {counted} frames, not {frames}"
