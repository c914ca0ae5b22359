"""Stored samples → frames for the codec, decoded in parts and a few parts ahead of their use."""

import functools
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypedDict

from core.errors import AnimaticError
from pipelines.dataset.records import ByteRange, RungRow
from pipelines.dataset.rungs import Encoding, encoding_for
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.video import rung_member
from pipelines.video.frames import Frames, read_clip, read_image

FRAMES_AT_ONCE = 32  # decoded together; bounds memory whatever the length of a clip


class ClipRow(TypedDict):
    """The columns of samples.parquet that encoding reads; ``frames`` to ``width`` are those of the clip
    itself."""

    key: str
    shard: str
    caption: str
    frames: int
    fps: float
    height: int
    width: int
    jpg_offset: int
    jpg_size: int
    mp4_offset: int
    mp4_size: int
    rungs: list[RungRow] | None


def rung_for(row: ClipRow, size: tuple[int, int]) -> RungRow | None:
    """The rung of the clip's own rate that frames of ``size``, (height, width), are decoded from; None for
    the clip itself."""
    rungs = {each["rung"]: each for each in row["rungs"] or () if each["fps"] == row["fps"]}
    if not rungs:
        return None
    itself = Encoding(None, row["height"], row["width"], row["fps"], row["frames"])
    best = encoding_for([itself, *map(Encoding.of, rungs.values())], size)
    return rungs[best.rung] if best.rung is not None else None


@dataclass(frozen=True)
class DecodedPart:
    """Frames [t h w 3] of a member, and the member's sha256."""

    sha256: str
    frames: Frames


def decoded_ahead(
    files: ShardFiles,
    rows: Iterable[ClipRow],
    size: tuple[int, int],
    *,
    clips: bool,
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[tuple[ClipRow, Future[DecodedPart]]]:
    """The parts of every sample in order: its image, then runs of frames of its clip if ``clips`` is set.

    At most ``ahead`` are begun before they are needed. A future raises UndecodableError for a part that
    cannot be decoded, and AnimaticError for a shard that cannot be read.

    Args:
        size: (height, width) of the frames.
    """
    parts = (
        (row, decode) for row in rows for decode in _parts(_StoredMembers(files, row, size), row, size, clips)
    )
    waiting: deque[tuple[ClipRow, Future[DecodedPart]]] = deque()
    for row, decode in parts:
        waiting.append((row, pool.submit(decode)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def _parts(
    stored: "_StoredMembers", row: ClipRow, size: tuple[int, int], clips: bool
) -> Iterator[Callable[[], DecodedPart]]:
    yield functools.partial(_decode_image, stored, size)
    if clips:
        for start in range(0, row["frames"], FRAMES_AT_ONCE):
            indices = range(start, min(start + FRAMES_AT_ONCE, row["frames"]))
            yield functools.partial(_decode_frames, stored, row, indices, size)


def _decode_image(stored: "_StoredMembers", size: tuple[int, int]) -> DecodedPart:
    digest, data = stored.jpg
    return DecodedPart(digest, read_image(data, size)[None])


def _decode_frames(
    stored: "_StoredMembers", row: ClipRow, indices: Sequence[int], size: tuple[int, int]
) -> DecodedPart:
    digest, data = stored.mp4
    source = stored.rung or row
    return DecodedPart(digest, read_clip(data, list(indices), (source["height"], source["width"]), size))


class _StoredMembers:
    """Members of one sample with their digests, read once however many parts are decoded of them."""

    def __init__(self, files: ShardFiles, row: ClipRow, size: tuple[int, int]) -> None:
        """``size`` is that of the frames, which decides the rung."""
        self._files, self._row, self.rung = files, row, rung_for(row, size)

    @functools.cached_property
    def jpg(self) -> tuple[str, bytes]:
        return self._read("jpg", ByteRange(self._row["jpg_offset"], self._row["jpg_size"]))

    @functools.cached_property
    def mp4(self) -> tuple[str, bytes]:
        if self.rung is not None:
            where = ByteRange(self.rung["offset"], self.rung["size"])
            return self._read(rung_member(self.rung["rung"]), where)
        return self._read("mp4", ByteRange(self._row["mp4_offset"], self._row["mp4_size"]))

    def _read(self, member: str, where: ByteRange) -> tuple[str, bytes]:
        shard = self._row["shard"]
        try:
            data = self._files.read(shard, where.offset, where.size)
        except OSError as error:
            raise AnimaticError(f"shard {shard} cannot be read ({error})") from error
        if len(data) != where.size:
            raise AnimaticError(
                f"shard {shard} ends before {self._row['key']}.{member}; run animatic verify on the dataset"
            )
        return hashlib.sha256(data).hexdigest(), data
