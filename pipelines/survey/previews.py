"""Samples to look at: the drawn frame, a few frames of the clip, and the caption, as small pictures."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from pipelines.dataset import Dataset
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image

_IMAGE_SIDE = 288  # pixels of the drawn frame's longer side
_STILL_SIDE = 96
_STILLS = 3
_JPEG_QUALITY = 82
_THREADS = 4


@dataclass(frozen=True)
class SamplePreview:
    """One sample in small.

    Attributes:
        key: of the sample.
        caption: of the sample.
        width, height: of the clip, pixels.
        seconds: length of the clip.
        condition_frame: number of the drawn frame in the clip.
        image: the drawn frame, JPEG.
        stills: frames spread over the clip, JPEG; none for a sample without a clip.
        problem: why there are no pictures; empty if there are.
    """

    key: str
    caption: str
    width: int
    height: int
    seconds: float
    condition_frame: int
    image: bytes = b""
    stills: list[bytes] = field(default_factory=list)
    problem: str = ""


def preview_samples(dataset: Dataset, count: int, seed: int) -> Iterator[SamplePreview]:
    """``count`` samples drawn by ``seed``, all if there are fewer, in the dataset's order."""
    rng = np.random.default_rng(seed)
    rows = sorted(rng.choice(len(dataset), min(count, len(dataset)), replace=False).tolist())
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(lambda row: _preview(dataset, row), rows)


def _preview(dataset: Dataset, row: int) -> SamplePreview:
    cells = dataset.samples.slice(row, 1).to_pylist()[0]
    empty = SamplePreview(
        key=cells["key"],
        caption=cells["caption"],
        width=cells["width"],
        height=cells["height"],
        seconds=cells["duration"],
        condition_frame=cells["condition_frame"],
    )
    size = (cells["height"], cells["width"])
    try:
        image = _jpeg(read_image(dataset.read(row, "jpg"), _fitted(size, _IMAGE_SIDE)))
        if not cells["frames"]:
            return replace(empty, condition_frame=0, image=image)
        indices = np.linspace(0, cells["frames"] - 1, _STILLS).round().astype(int).tolist()
        frames = read_clip(dataset.read(row, "mp4"), indices, size, _fitted(size, _STILL_SIDE))
    except (OSError, UndecodableError) as error:
        return replace(empty, problem=str(error) or type(error).__name__)
    return replace(empty, image=image, stills=[_jpeg(frame) for frame in frames])


def _fitted(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """``size``, (height, width), scaled to ``longer_side``."""
    scale = longer_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _jpeg(frame: Frames) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
