"""The clips that codec and prior are trained on: rendered scenes, moves over photographs, cuts of films.

Kept as arrays on disk: each is read many times, and a video file of each would only be decoded again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from core.canonical_json import digest_of
from core.files import sha256, write_text
from orchestration.demo import films, footage, photographs

Kind = Literal["rendered", "photograph", "film"]
Row = tuple[str, float, Kind]  # caption, frame rate and kind of a clip
SHARES: dict[Kind, float] = {"rendered": 0.5, "photograph": 0.33, "film": 0.17}
RECOLOURED = 0.5  # of the photographs and films, which are few
STRIDE = 3  # of the frames that are kept, as the preset trains
_CHUNK = 16  # clips a task of a process
_TABLE, _FRAMES = "clips.json", "frames.npy"


@dataclass(frozen=True)
class Clips:
    """Clips of equal size.

    Attributes:
        frames: (n t h w 3) uint8.
        captions, fps, kinds: of each clip; frame rates as sampled.
        digest: of frames and rows.
    """

    frames: np.ndarray
    captions: list[str]
    fps: list[float]
    kinds: list[Kind]
    digest: str


def make_clips(
    folder: Path,
    count: int,
    *,
    seed: int,
    frames: int,
    size: int,
    processes: int,
    progress: Callable[[int, int], None],
) -> Clips:
    """The first ``count`` clips of the endless collection ``seed``, of ``frames`` square frames of ``size``.

    Read from ``folder`` where it has them.
    """
    recipe = digest_of(
        {
            "recoloured": RECOLOURED,
            "count": count,
            "seed": seed,
            "frames": frames,
            "size": size,
            "shares": SHARES,
        }
    )
    table, stored = folder / _TABLE, folder / _FRAMES
    found = json.loads(table.read_text()) if table.exists() else None
    if found is None or found.get("recipe") != recipe:
        # First: the table of other frames must not outlive them.
        table.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(stored, "w+", np.uint8, (count, frames, size, size, 3))
        rows = _fill(array, seed, processes, progress)
        array.flush()
        found = {"recipe": recipe, "digest": digest_of([sha256(stored), rows]), "rows": rows}
        write_text(table, json.dumps(found))
    captions, fps, kinds = (list(column) for column in zip(*found["rows"], strict=True))
    return Clips(np.load(stored, mmap_mode="r"), captions, fps, kinds, found["digest"])


def _fill(array: np.ndarray, seed: int, processes: int, progress: Callable[[int, int], None]) -> list[Row]:
    """Make the clips of an array (n t size size 3) in several processes; returns their rows."""
    count, frames, size = array.shape[:3]
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        made = pool.map(_make_chunk, ((seed, frames, size, chunk) for chunk in chunks))
        for chunk, (clips, described) in zip(chunks, made, strict=True):
            array[chunk.start : chunk.stop] = clips
            rows += described
            progress(chunk.stop, count)
    return rows


def _make_chunk(task: tuple[int, int, int, Sequence[int]]) -> tuple[np.ndarray, list[Row]]:
    seed, frames, size, indices = task
    made = [_make_clip(seed, index, frames, size) for index in indices]
    return np.stack([each[0] for each in made]), [each[1] for each in made]


def _make_clip(seed: int, index: int, frames: int, size: int) -> tuple[np.ndarray, Row]:
    rng = np.random.default_rng([seed, index, 1])
    kind: Kind = rng.choice(list(SHARES), p=list(SHARES.values())).item()
    if kind == "rendered":
        scene = footage.draw_scene(seed, index)
        caption, clip, fps = scene.caption, footage.render(scene), footage.FPS
    elif kind == "photograph":
        (caption, clip), fps = photographs.photograph_clip(seed, index), footage.FPS
    else:
        (caption, clip), fps = films.film_clip(seed, index), films.FPS
    start = int(rng.integers(len(clip) - STRIDE * (frames - 1)))
    chosen = clip[start : start + STRIDE * (frames - 1) + 1 : STRIDE]
    if kind != "rendered" and rng.random() < RECOLOURED:
        caption, chosen = f"{caption}, in other colours", _recolour(chosen, rng)
    return np.stack([square(frame, size) for frame in chosen]), (caption, fps / STRIDE, kind)


def _recolour(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clip (t h w 3) uint8 with its colour channels permuted, and another contrast and brightness."""
    gain, shift = rng.uniform(0.7, 1.2), rng.uniform(-25, 25)
    return (clip[..., rng.permutation(3)] * gain + shift).clip(0, 255).astype(np.uint8)


def square(frame: np.ndarray, size: int) -> np.ndarray:
    """The centre of a frame (h w 3) as a square of ``size``, as the loader cuts it."""
    height, width = frame.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS, box=box))
