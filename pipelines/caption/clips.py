"""The frames of clips that a model reads."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from typing_extensions import TypedDict

from core.errors import AnimaticError
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image


class ClipRow(TypedDict):
    """The columns of samples.parquet that captioning reads; images of stage 1 have no mp4."""

    key: str
    shard: str
    caption: str
    frames: int
    fps: float
    height: int
    width: int
    jpg_offset: int
    jpg_size: int
    mp4_offset: int | None
    mp4_size: int


@dataclass(frozen=True)
class Clip:
    """Some frames of a clip, or an image as often as frames are asked for.

    Attributes:
        frames: uint8 [t h w 3].
        indices: of these frames among all of the clip.
        length: frames of the whole clip.
        fps: of the whole clip.
    """

    frames: Frames
    indices: list[int]
    length: int
    fps: float

    def pictures(self) -> list[Image.Image]:
        """The frames as pictures."""
        return [Image.fromarray(frame) for frame in self.frames]


def even_frames(length: int, count: int) -> list[int]:
    """``count`` frames of ``length``, each in the middle of its part; some repeat where there are fewer."""
    return [int((number + 0.5) * length / count) for number in range(count)]


def clips_ahead(
    files: ShardFiles,
    rows: Sequence[ClipRow],
    count: int,
    *,
    short_side: int,
    threads: int,
    ahead: Callable[[], int],
) -> Iterator[tuple[ClipRow, Clip | None]]:
    """``count`` frames of each clip, in order, None for one that cannot be decoded.

    Raises AnimaticError for a shard that cannot be read.

    Args:
        short_side: of the frames, at most, pixels.
        ahead: how many are decoded before they are needed, at the moment.
    """
    waiting: deque[tuple[ClipRow, Future[Clip | None]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for row in rows:
            waiting.append((row, pool.submit(_read, files, row, count, short_side)))
            if len(waiting) > ahead():
                first, clip = waiting.popleft()
                yield first, clip.result()
        for row, clip in waiting:
            yield row, clip.result()


def _read(files: ShardFiles, row: ClipRow, count: int, short_side: int) -> Clip | None:
    stored = (row["height"], row["width"])
    scale = min(1.0, short_side / min(stored))
    size = (round(row["height"] * scale), round(row["width"] * scale))
    try:
        if row["mp4_offset"] is None:
            image = read_image(_member(files, row, "jpg", row["jpg_offset"], row["jpg_size"]), size)
            return Clip(np.stack([image] * count), [0] * count, 1, 1.0)
        mp4 = _member(files, row, "mp4", row["mp4_offset"], row["mp4_size"])
        indices = even_frames(row["frames"], count)
        return Clip(read_clip(mp4, indices, stored, size), indices, row["frames"], row["fps"])
    except UndecodableError:
        return None


def _member(files: ShardFiles, row: ClipRow, member: str, offset: int, size: int) -> bytes:
    """The bytes of a member. An error of the storage must not count as one of the clip."""
    try:
        data = files.read(row["shard"], offset, size)
    except OSError as error:
        raise AnimaticError(
            f"shard {row['shard']} cannot be read ({error}); fix the cause and rerun"
        ) from error
    if len(data) != size:
        raise AnimaticError(
            f"shard {row['shard']} ends before {row['key']}.{member}; run animatic verify on the dataset"
        )
    return data
