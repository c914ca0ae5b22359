"""``python -m tests.bench.writing``: processor seconds of the files of one clip, by size."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestration.media import write_gif, write_mp4

SIZES = ((256, 256), (320, 512), (576, 1024))
FRAMES, FPS = 16, 8.0


def moving_picture(height: int, width: int, frames: int = FRAMES) -> NDArray[np.uint8]:
    """Frames (t h w 3) of a smooth picture with grain that moves to the left."""
    rng = np.random.default_rng(0)
    coarse = np.clip(rng.normal(128, 50, (height // 16 + 3, width // 16 + 3, 3)), 0, 255).astype(np.uint8)
    picture = np.asarray(
        Image.fromarray(coarse).resize((width + 2 * frames, height), Image.Resampling.BICUBIC)
    )
    grain = rng.normal(0, 2, (frames, height, width, 1))
    moved = np.stack([picture[:, 2 * number : 2 * number + width] for number in range(frames)])
    return np.clip(moved + grain, 0, 255).astype(np.uint8)


def seconds(write: Callable[[NDArray[np.uint8], Path, float], None], frames: NDArray[np.uint8]) -> float:
    """Processor seconds of all threads, after a first file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        write(frames, path, FPS)
        start = time.process_time()
        write(frames, path, FPS)
        return time.process_time() - start


if __name__ == "__main__":
    for height, width in SIZES:
        clip = moving_picture(height, width)
        print(f"{height}x{width}: mp4 {seconds(write_mp4, clip):.2f}, GIF {seconds(write_gif, clip):.2f}")
