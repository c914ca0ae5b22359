"""``python -m tests.support.encoded_files SEED FOLDER ROUNDS``: every kind of file that is encoded.

The heap is filled with other bytes, and the paths have other lengths, for each seed and round. Prints the
sha256 of every file by round and name, as JSON.
"""

import ctypes
import json
import random
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa

from core.files import sha256
from orchestration import media
from orchestration.demo.footage import encode
from pipelines.dataset.tables import TableWriter
from pipelines.video.clip_writer import ClipWriter
from pipelines.video.scale import Picture
from pipelines.video.settings import ClipSettings

# With the macroblock tree, x264 gave different bytes for two in five clips of the first size.
CLIP_SIZES = ((106, 64), (106, 64), (38, 62))  # width, height
FRAMES = 40
_BLOCKS = 2000


def moving_noise(seed: int, width: int, height: int) -> np.ndarray:
    """A blocky picture that moves to the left under noise: (t h w 3) uint8."""
    random_pixels = np.random.default_rng(seed)
    cells = random_pixels.integers(0, 255, (height // 8 + 3, width // 8 + 12, 3)).astype(np.float32)
    picture = cells.repeat(8, 0).repeat(8, 1)
    frames = np.stack([picture[t // 4 : t // 4 + height, 2 * t : 2 * t + width] for t in range(FRAMES)])
    return np.clip(frames + random_pixels.normal(0, 6, frames.shape), 0, 255).astype(np.uint8)


def yuv_frame(pixels: np.ndarray) -> av.VideoFrame:
    """A frame whose planes are the channels of ``pixels`` (h w 3): no conversion is involved."""
    height, width = pixels.shape[:2]
    frame = av.VideoFrame(width, height, "yuv420p")
    for channel, plane in enumerate(frame.planes):
        step = 2 if channel else 1
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = pixels[::step, ::step, channel][: plane.height, : plane.width]
        plane.update(rows.tobytes())
    return frame


def main() -> None:
    """Encode everything once a round."""
    seed, folder, rounds = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    randomness = random.Random(seed)
    made = []
    for number in range(rounds):
        inner = folder / f"{seed}-{number}{'x' * randomness.randint(0, 150)}"
        inner.mkdir()
        made.append(_encode_all(inner, randomness))
    print(json.dumps(made))


def _encode_all(folder: Path, randomness: random.Random) -> dict[str, str]:
    for number, (width, height) in enumerate(CLIP_SIZES):
        pixels = moving_noise(number, width, height)
        _fill_heap(randomness)
        _write_shard_clip(folder, f"shard-{number}", pixels)
    small = moving_noise(7, 64, 64)
    _fill_heap(randomness)
    media.write_clip(small, folder / "animation", 8)
    encode(small, folder / "footage.mp4", 12)
    media.write_png(small[0], folder / "image.png")
    _write_table(folder / "table.parquet", randomness)
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def _write_shard_clip(folder: Path, key: str, pixels: np.ndarray) -> None:
    writer = ClipWriter(folder, key, Fraction(25), ClipSettings(condition_frames=2), 0)
    for frame in pixels:
        writer.add(Picture(yuv_frame(frame), {}, None))
    (folder / f"{key}.json").write_text(json.dumps(writer.close()))


def _write_table(path: Path, randomness: random.Random) -> None:
    """The same rows, however many come at a time."""
    rows = [{"key": f"key-{n}", "motion": n / 7, "ranges": [n, n * n]} for n in range(500)]
    schema = pa.schema([("key", pa.string()), ("motion", pa.float32()), ("ranges", pa.list_(pa.int64()))])
    cut = randomness.randrange(len(rows))
    with TableWriter(path, schema) as writer:
        writer.add(rows[:cut])
        writer.add(rows[cut:])


def _fill_heap(randomness: random.Random) -> None:
    """Allocate blocks of many sizes, write to them, and free them in another order."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = []
    for _ in range(_BLOCKS):
        size = randomness.choice((512, 8192, 120_000)) - randomness.randrange(500)
        blocks.append(libc.malloc(size))
        ctypes.memset(blocks[-1], randomness.randrange(256), size)
    randomness.shuffle(blocks)
    for block in blocks[: _BLOCKS * 9 // 10]:
        libc.free(block)


if __name__ == "__main__":
    main()
