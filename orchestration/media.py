"""Clips out: writing mp4 (H.264), GIF and PNG.

Frames are uint8 arrays (t h w 3), RGB.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from core.files import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CRF = 14
# Clips with a shorter side get a second, enlarged GIF for viewing.
VIEWABLE_SIDE = 128
ENLARGED_SIDE = 256


@dataclass(frozen=True)
class ClipFiles:
    """Where a clip was written, in each format that was asked for.

    ``large`` is the enlarged GIF of a small clip; ``gif_fps`` is the rate of GIFs in frames per second, which
    can store few rates.
    """

    mp4: Path | None
    gif: Path | None
    large: Path | None
    gif_fps: float

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [path for path in (self.mp4, self.gif, self.large) if path is not None]


def to_frames(clip: Tensor) -> NDArray[np.uint8]:
    """A clip (t 3 h w) in [-1, 1] as frames."""
    from models.pixels import to_uint8

    return to_uint8(clip).cpu().permute(0, 2, 3, 1).numpy()


def write_clip(frames: NDArray[np.uint8], stem: Path, fps: float) -> ClipFiles:
    """Write ``stem``.mp4 and ``stem``.gif, and ``stem``-large.gif for a small clip; folders are created."""
    mp4, gif = _named(stem, ".mp4"), _named(stem, ".gif")
    write_mp4(frames, mp4, fps)
    write_gif(frames, gif, fps)
    large = None
    side = min(frames.shape[1:3])
    if side < VIEWABLE_SIDE:
        large = _named(stem, "-large.gif")
        write_gif(enlarge(frames, round(ENLARGED_SIDE / side)), large, fps)
    return ClipFiles(mp4, gif, large, 1000 / gif_delay_ms(fps))


def write_clip_file(frames: NDArray[np.uint8], path: Path, fps: float) -> ClipFiles:
    """Write one file: an mp4 or, where ``path`` ends in ``.gif``, a GIF. Its folder exists."""
    gif_fps = 1000 / gif_delay_ms(fps)
    if path.suffix.lower() == ".gif":
        write_gif(frames, path, fps)
        return ClipFiles(None, path, None, gif_fps)
    write_mp4(frames, path, fps)
    return ClipFiles(path, None, None, gif_fps)


def write_mp4(frames: NDArray[np.uint8], path: Path, fps: float, crf: int = CRF) -> None:
    """H.264 in mp4, playable in browsers; an odd width or height gains one repeated line.

    Args:
        crf: quality; higher is smaller.
    """
    from core import h264

    with atomic_file(path) as partial:
        h264.write_mp4(frames, partial, fps, h264.H264Settings(crf))


def write_gif(frames: NDArray[np.uint8], path: Path, fps: float) -> None:
    """An endless GIF, whose rate is that of :func:`gif_delay_ms`; each frame has its own palette."""
    # Nearly all of the time goes into palettes, during which Pillow releases the interpreter lock.
    with ThreadPoolExecutor() as threads:
        images = [*threads.map(_with_palette, frames)]
    with atomic_file(path) as partial:
        images[0].save(
            partial,
            "GIF",
            save_all=True,
            append_images=images[1:],
            duration=gif_delay_ms(fps),
            loop=0,
            optimize=False,
        )


def _with_palette(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame).convert("P", palette=Image.Palette.ADAPTIVE)


def gif_delay_ms(fps: float) -> int:
    """The delay between frames, in milliseconds, that is nearest to ``fps`` and that browsers play.

    The format stores hundredths of a second. Browsers play at 10 frames per second what asks for a single one
    or none, so the shortest delay is two.
    """
    return 10 * max(2, round(100 / fps))


def write_png(image: NDArray[np.uint8], path: Path) -> None:
    """One picture (h w 3)."""
    with atomic_file(path) as partial:
        Image.fromarray(image).save(partial, "PNG")


def film_strip(frames: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """All frames side by side on white, as one picture."""
    padded = np.pad(frames, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)[:, :-gap]


def enlarge(frames: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Every pixel repeated ``factor`` times each way: small clips stay crisp."""
    return frames.repeat(factor, axis=1).repeat(factor, axis=2)


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
