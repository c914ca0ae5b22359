"""Clips whose grey levels encode the frame number, stored as a real dataset."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.samples import Sample

HEIGHT, WIDTH = 64, 96
LEVELS_PER_FRAME = 5


def write_clip(path: Path, frames: int, fps: int = 12, size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    """An mp4 whose frame i is grey of level i * LEVELS_PER_FRAME between a black bar and a white one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "tune": "fastdecode"})
        (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
        for index in range(frames):
            picture = np.full((*size, 3), index * LEVELS_PER_FRAME, np.uint8)
            picture[:, :8], picture[:, -8:] = 0, 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def frame_numbers(pixels: np.ndarray) -> list[int]:
    """Frame numbers of a [t 3 h w] sample, decoded from their grey level."""
    centre = pixels[:, :, pixels.shape[2] // 2, pixels.shape[3] // 2].mean(axis=1)
    return [round(float(level) / LEVELS_PER_FRAME) for level in centre]


def build_dataset(
    folder: Path,
    lengths: list[int],
    spoil: Callable[[int, bytes], bytes] = lambda _, mp4: mp4,
    sizes: Sequence[int] | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> Dataset:
    """A dataset with one clip of each length; ``spoil(index, mp4)`` may damage what is stored.

    ``sizes``: clips in each unit; None puts all in one. ``shapes``: (height, width) of each clip.
    ``captions``: all of each clip; None gives clip N the caption "caption N".
    """
    folder.mkdir(parents=True)
    kinds = list(zip(lengths, shapes or [(HEIGHT, WIDTH)] * len(lengths), strict=True))
    encoded = {kind: write_clip(folder / "clip.mp4", kind[0], size=kind[1]) for kind in set(kinds)}
    jpg = folder / "frame.jpg"
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(jpg, quality=95)
    texts = captions or [[f"caption {n}"] for n in range(len(kinds))]
    samples = [
        Sample(
            f"clip-{n:04d}",
            jpg.read_bytes(),
            spoil(n, encoded[kind]),
            texts[n][0],
            _info(n, *kind),
            more_captions=list(texts[n][1:]),
        )
        for n, kind in enumerate(kinds)
    ]
    outcomes = [{"row": n, "source_id": str(n), "samples": 1, "dropped": {}} for n in range(len(lengths))]
    ends = [0, *itertools.accumulate(sizes or [len(lengths)])]
    for unit, (start, end) in enumerate(itertools.pairwise(ends)):
        commit_clips(Folder(folder), unit, samples[start:end], outcomes[start:end])
    commit_dataset(Folder(folder), {"test": folder.name}, units=len(ends) - 1, rows=len(lengths))
    return Dataset.open(folder)


def _info(n: int, length: int, size: tuple[int, int]) -> dict:
    return {
        "width": size[1],
        "height": size[0],
        "frames": length,
        "fps": 12.0,
        "duration": length / 12,
        "source_id": str(n),
        "condition_frame": 0,
        "scores": {"motion": 1.0, "brightness": 0.5},
    }
