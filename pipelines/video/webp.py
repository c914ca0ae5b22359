"""Frames of animated WebP, which FFmpeg's decoder does not read.

Run in the sandbox only: the files are hostile.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from core.errors import RejectedError
from pipelines.video.probe import MAX_PIXELS

_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_DEFAULT_MILLISECONDS = 100  # of a frame without a duration, as in browsers


def is_webp(path: Path) -> bool:
    """Whether a file is a WebP picture or animation."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] == b"RIFF" and start[8:] == b"WEBP"


def webp_frames(path: Path) -> tuple[Fraction, Iterator[tuple[Fraction, av.VideoFrame]]]:
    """Mean frames per second, and each frame with its time in seconds. Transparent parts become white.

    Raises RejectedError (not_a_video) for a single picture, and (corrupt) for what cannot be decoded.
    """
    durations = [milliseconds for milliseconds, _ in _decoded(path, pixels=False)]
    if len(durations) < 2:
        raise RejectedError("not_a_video", "a WebP picture that does not move")
    return Fraction(1000 * len(durations), sum(durations)), _timed(path)


def _timed(path: Path) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    elapsed = 0
    for milliseconds, picture in _decoded(path, pixels=True):
        yield Fraction(elapsed, 1000), av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
        elapsed += milliseconds


def _decoded(path: Path, *, pixels: bool) -> Iterator[tuple[int, Image.Image]]:
    """Duration of each frame in milliseconds, and the frame as RGB (unconverted without ``pixels``)."""
    try:
        with Image.open(path, formats=["WEBP"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise RejectedError("too_large", f"{image.width}x{image.height}")
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
                duration = int(image.info.get("duration", 0)) or _DEFAULT_MILLISECONDS
                yield duration, _on_white(image) if pixels else image
    except _UNREADABLE as error:
        raise RejectedError("truncated" if _is_cut(path) else "corrupt", type(error).__name__) from error


def _is_cut(path: Path) -> bool:
    """Whether the file is shorter than its header declares."""
    with path.open("rb") as file:
        declared = int.from_bytes(file.read(8)[4:], "little") + 8
    return path.stat().st_size < declared


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(ground, rgba).convert("RGB")
