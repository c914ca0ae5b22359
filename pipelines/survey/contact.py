"""Samples to look at: the drawn frame, a few frames of the clip, and the caption, as small pictures."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from pipelines.dataset import Dataset
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image

WIDE = 288  # pixels of the drawn frame
SMALL = 96
STILLS = 3
QUALITY = 82
READERS = 4


@dataclass(frozen=True)
class Contact:
    """One sample. Pictures are JPEG; ``problem`` says why there are none."""

    key: str
    caption: str
    width: int
    height: int
    seconds: float
    condition_frame: int
    image: bytes = b""
    stills: list[bytes] = field(default_factory=list)
    problem: str = ""


def contacts(dataset: Dataset, count: int, seed: int) -> Iterator[Contact]:
    """``count`` samples drawn by ``seed``, or all if there are no more, in the dataset's order."""
    rng = np.random.default_rng(seed)
    rows = sorted(rng.choice(len(dataset), min(count, len(dataset)), replace=False).tolist())
    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(lambda row: _contact(dataset, row), rows)


def _contact(dataset: Dataset, row: int) -> Contact:
    about = dataset.samples.slice(row, 1).to_pylist()[0]
    shown = (about["key"], about["caption"], about["width"], about["height"], about["duration"])
    source = (about["height"], about["width"])
    try:
        image = read_image(dataset.read(row, "jpg"), _within(source, WIDE))
        if not about["frames"]:
            return Contact(*shown, 0, _jpeg(image))
        picks = np.linspace(0, about["frames"] - 1, STILLS).round().astype(int).tolist()
        clip = read_clip(dataset.read(row, "mp4"), picks, source, _within(source, SMALL))
    except (OSError, UndecodableError) as error:
        return Contact(*shown, about["condition_frame"], problem=str(error) or type(error).__name__)
    return Contact(*shown, about["condition_frame"], _jpeg(image), [_jpeg(frame) for frame in clip])


def _within(size: tuple[int, int], width: int) -> tuple[int, int]:
    """(height, width) of a picture scaled to ``width``, or to that height if it is upright."""
    scale = width / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _jpeg(frame: Frames) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
