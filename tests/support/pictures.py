"""Videos whose corners have four colours, so that every turn, mirror and conversion is seen."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (235, 235, 235)
Colours = list[tuple[int, int, int]]


def corner_picture(width: int = 160, height: int = 96) -> np.ndarray:
    """Grey, with red at the top left, green at the top right, blue at the bottom left, white at the right."""
    picture = np.full((height, width, 3), 128, np.uint8)
    up, left = height // 3, width // 3
    picture[:up, :left], picture[:up, -left:] = RED, GREEN
    picture[-up:, :left], picture[-up:, -left:] = BLUE, WHITE
    return picture


def corner_colours(pixels: np.ndarray) -> Colours:
    """Colours near the corners: top left, top right, bottom left, bottom right."""
    height, width = pixels.shape[:2]
    y, x = height // 8, width // 8
    points = [(y, x), (y, width - 1 - x), (height - 1 - y, x), (height - 1 - y, width - 1 - x)]
    return [tuple(int(value) for value in pixels[point]) for point in points]


def distance(found: Iterable[tuple[int, int, int]], wanted: Iterable[tuple[int, int, int]]) -> int:
    """Largest difference of any channel of any corner."""
    return int(np.abs(np.array(list(found), int) - np.array(list(wanted), int)).max())


def write_corners(
    path: Path,
    *,
    frames: int = 3,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    matrix: tuple[int, ...] | None = None,
    tags: dict[str, int] | None = None,
    colour: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """A video of ``corner_picture`` at 25 frames a second.

    Args:
        matrix: its display matrix, nine numbers.
        tags: attributes of the encoder, as colorspace.
        colour: RGB of the whole picture, instead of the corners.
        aspect: width / height of a pixel.
    """
    pixels = corner_picture(*size)
    if colour is not None:
        pixels[:] = colour
    picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
            setattr(picture, name, value)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number in range(frames):
            frame = picture.reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
