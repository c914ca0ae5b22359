"""Videos with dark borders, and dark ones without: a textured picture moves within a black frame."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Change = Callable[[np.ndarray, int], None]


def texture(number: int, height: int, width: int, levels: tuple[int, int] = (40, 220)) -> np.ndarray:
    """A picture of blocks that moves to the left: (height, width, 3) uint8."""
    blocks = np.random.default_rng(3).integers(*levels, (height // 8 + 1, width // 8 + 40, 3), np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)[:height, 2 * number : 2 * number + width]


def write_barred(
    path: Path,
    bars: tuple[int, int, int, int] = (0, 0, 0, 0),
    *,
    size: tuple[int, int] = (192, 128),
    frames: int = 30,
    black: int = 0,
    noise: float = 0,
    change: Change = lambda picture, number: None,
    levels: tuple[int, int] = (40, 220),
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction | None = None,
    gop: int = 12,
) -> Path:
    """``bars``: left, top, right, bottom in pixels; ``black`` is their level of RGB, ``noise`` that of the
    whole picture; ``change`` alters the picture of a frame, bars included."""
    left, top, right, bottom = bars
    width, height = size
    grain = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        options = {"crf": "18", "preset": "ultrafast", "g": str(gop)}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number in range(frames):
            picture = np.full((height, width, 3), black, np.uint8)
            inner = texture(number, height - top - bottom, width - left - right, levels)
            picture[top : height - bottom, left : width - right] = inner
            change(picture, number)
            noisy = np.clip(picture + grain.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
