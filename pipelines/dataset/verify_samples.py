"""Verification of one shard: its bytes, and every sample in it against the rows of its manifest."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import av
from PIL import Image

from core.storage import Folder
from pipelines.dataset.hashing_reader import HashingReader
from pipelines.dataset.integrity import digest_mismatch, mismatch
from pipelines.dataset.records import RungRow, SampleInfo, SampleRow, ShardRecord, member_ranges
from pipelines.video import rung_member
from pipelines.video.frames import UNREADABLE_IMAGE

PROBLEMS_A_SHARD = 20


def shard_problems(folder: Folder, shard: ShardRecord, rows: list[SampleRow] | None, deep: bool) -> list[str]:
    """What is wrong with a shard and its samples, a problem a line; ``rows`` None checks its bytes alone."""
    name, problems = shard["name"], list[str]()
    try:
        with folder.open(name) as file:
            reader = HashingReader(file)
            if rows is not None:
                try:
                    problems += _sample_problems(reader, name, rows, deep)
                except (tarfile.TarError, EOFError) as error:
                    problems.append(f"{name}: not a whole tar ({error})")
            reader.exhaust()
    except FileNotFoundError:
        return [f"{name}: missing"]
    if len(problems) > PROBLEMS_A_SHARD:
        problems[PROBLEMS_A_SHARD:] = [f"{name}: {len(problems) - PROBLEMS_A_SHARD} more problems"]
    return [
        *mismatch(name, "size", reader.size, shard["bytes"]),
        *digest_mismatch(name, reader.sha256, shard["sha256"]),
        *problems,
    ]


def _sample_problems(reader: HashingReader, shard: str, rows: list[SampleRow], deep: bool) -> Iterator[str]:
    """Problems of the samples of a tar, which must be those of ``rows``, in order."""
    with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|") as tar:
        members = iter(tar)
        for row in rows:
            contents: dict[str, bytes] = {}
            for extension, where in member_ranges(row).items():
                member = next(members, None)
                name = f"{row['key']}.{extension}"
                if member is None or member.name != name:
                    yield f"{shard}: {name} is missing (found {member.name if member else 'the end'})"
                    return
                if (member.offset_data, member.size) != where:
                    yield f"{shard}: {name} has another offset or size than in the tables"
                file = tar.extractfile(member)
                contents[extension] = file.read() if file else b""
            for problem in _content_problems(row, contents, deep):
                yield f"{shard}: {row['key']}: {problem}"
        extra = next(members, None)
        if extra is not None:
            yield f"{shard}: {extra.name} is in no table"


def _content_problems(row: SampleRow, contents: dict[str, bytes], deep: bool) -> Iterator[str]:
    differing = _differing(row, contents["json"])
    if differing:
        yield f"its json contradicts the tables ({', '.join(differing)})"
    if contents["txt"] != row["caption"].encode():
        yield "its txt is not its caption"
    size = (row["width"], row["height"])
    for rung in row.get("rungs") or ():
        member = rung_member(rung["rung"])
        found = _clip_problems(contents[member], (rung["width"], rung["height"]), rung["frames"], deep)
        yield from (f"its {member} {problem}" for problem in found)
    for extension, content in contents.items():
        if extension.endswith("jpg"):
            yield from (f"its {extension} {problem}" for problem in _image_problems(content, size))
    clip = _clip_problems(contents["mp4"], size, row["frames"], deep)
    yield from (f"its mp4 {problem}" for problem in clip)


def _differing(row: SampleRow, content: bytes) -> list[str]:
    """Fields of KEY.json that are not those of the sample's row."""
    try:
        info: SampleInfo = json.loads(content)
        pairs = {
            "width": (info.get("width"), row["width"]),
            "height": (info.get("height"), row["height"]),
            "frames": (info.get("frames"), row["frames"]),
            "fps": (info.get("fps"), row["fps"]),
            "duration": (info.get("duration"), row["duration"]),
            "source_id": (info.get("source_id"), row["source_id"]),
            "condition_frame": (info.get("condition_frame"), row["condition_frame"]),
            "rungs": (info.get("rungs", []), [_described(rung) for rung in row.get("rungs") or ()]),
        }
        if row.get("more_captions"):
            pairs["captions"] = (len(info.get("captions", [])), 1 + len(row["more_captions"] or []))
    except (ValueError, AttributeError):
        return ["everything"]
    return [name for name, (found, expected) in pairs.items() if found != expected]


def _described(rung: RungRow) -> dict[str, object]:
    """A further encoding as KEY.json describes it."""
    return {name: value for name, value in rung.items() if name not in ("offset", "size")}


def _image_problems(content: bytes, size: tuple[int, int]) -> Iterator[str]:
    """``size`` is (width, height)."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            found = image.size
            image.load()
    except UNREADABLE_IMAGE as error:
        yield f"cannot be read ({type(error).__name__})"
        return
    if found != size:
        yield f"has {found[0]}x{found[1]} pixels, not {size[0]}x{size[1]}"


def _clip_problems(content: bytes, size: tuple[int, int], frames: int, deep: bool) -> Iterator[str]:
    try:
        with av.open(io.BytesIO(content), format="mp4") as clip:
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
