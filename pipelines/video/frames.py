"""Stored clips and images → pixels at the size of the network's input.

Both readers crop the centre to the wanted aspect ratio and resize; the video reader lets decord resize
while it decodes and crops afterwards, which is several times cheaper than scaling full frames.
"""

import io
import re
from dataclasses import dataclass

import decord
import numpy as np
import numpy.typing as npt
from PIL import Image

Frames = npt.NDArray[np.uint8]

decord.logging.set_level(decord.logging.QUIET)  # its errors are raised as exceptions

UNREADABLE_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_CORRUPTED = (decord.DECORDError, RuntimeError, AssertionError, IndexError, OSError, ValueError)


class UndecodableError(Exception):
    """The stored bytes of one sample cannot be decoded, or decode to something else than is recorded."""


def read_clip(mp4: bytes, indices: list[int], source: tuple[int, int], size: tuple[int, int]) -> Frames:
    """Frames ``indices`` of a normalised clip, uint8 [t, height, width, 3].

    ``source`` and ``size`` are (height, width) of the stored clip and of the result. Raises UndecodableError.
    """
    _require_mp4(mp4)
    height, width = cover(source, size)
    try:
        frames = _decode(mp4, indices, height, width)
    except _CORRUPTED as error:
        raise UndecodableError(_reason(error)) from error
    if frames.shape != (len(indices), height, width, 3):
        raise UndecodableError(f"decoded to {frames.shape}, expected {(len(indices), height, width, 3)}")
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return frames[:, top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class ClipShape:
    """Length, size in pixels and frame rate of a clip."""

    frames: int
    height: int
    width: int
    fps: float


def describe_clip(mp4: bytes) -> ClipShape:
    """Shape of a clip, its first frame decoded. Raises UndecodableError."""
    _require_mp4(mp4)
    try:
        reader = decord.VideoReader(io.BytesIO(mp4), ctx=decord.cpu(0), num_threads=1)
        height, width = reader.get_batch([0]).shape[1:3]
        reader.seek(0)
        return ClipShape(len(reader), int(height), int(width), float(reader.get_avg_fps()))
    except _CORRUPTED as error:
        raise UndecodableError(_reason(error)) from error


def read_image(jpg: bytes, size: tuple[int, int]) -> Frames:
    """A stored image as uint8 [height, width, 3]. Raises UndecodableError."""
    try:
        with Image.open(io.BytesIO(jpg), formats=["JPEG", "PNG", "WEBP"]) as opened:
            image = opened.convert("RGB")
    except UNREADABLE_IMAGE as error:
        raise UndecodableError(str(error)) from error
    return fit_image(image, size)


def fit_image(image: Image.Image, size: tuple[int, int]) -> Frames:
    """Crop an RGB image centrally to the aspect of ``size`` (height, width), resize: uint8 [h, w, 3]."""
    if image.size == (size[1], size[0]):
        return np.asarray(image)
    scale = max(size[0] / image.height, size[1] / image.width)
    crop_w, crop_h = size[1] / scale, size[0] / scale
    left, top = (image.width - crop_w) / 2, (image.height - crop_h) / 2
    box = (left, top, left + crop_w, top + crop_h)
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box))


def cover(source: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The smallest (height, width) of ``source``'s aspect that covers ``size`` and that decord supports."""
    scale = max(size[0] / source[0], size[1] / source[1])
    height, width = max(size[0], round(source[0] * scale)), max(size[1], round(source[1] * scale))
    # decord pads lines to 32 pixels, and where the padded width divides evenly mistakes it for channels.
    while (padded := -(-width // 32) * 32) != width and 3 * padded % width == 0:
        width += 2
        height = max(height, round(source[0] * width / source[1]))
    return height, width


def _decode(mp4: bytes, indices: list[int], height: int, width: int) -> Frames:
    # One function opens, reads and releases the reader: an idle decord reader keeps decoding into memory.
    reader = decord.VideoReader(io.BytesIO(mp4), ctx=decord.cpu(0), width=width, height=height, num_threads=1)
    frames: Frames = reader.get_batch(indices).asnumpy()
    reader.seek(0)
    return frames


def _require_mp4(data: bytes) -> None:
    if data[4:8] != b"ftyp":  # decord prints other bytes to the terminal
        raise UndecodableError("not an mp4 file")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])[:200]
