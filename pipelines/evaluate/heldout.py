"""Held-out clips to evaluate on: samples of a dataset, or a folder of mp4 files with captions beside them."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.loader import ClipSampling, Permutation, derive_key, draw_params
from pipelines.video.frames import ClipShape, UndecodableError, describe_clip, read_clip


@dataclass(frozen=True)
class RealClip:
    """A clip as sampled: ``pixels`` uint8 [t h w 3]; ``fps`` is the network's rate input (or the stride)."""

    key: str
    caption: str
    fps: float
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HeldOutClip:
    """A clip that is decoded when it is sampled; ``mp4`` reads its bytes."""

    key: str
    caption: str
    shape: ClipShape
    mp4: Callable[[], bytes]

    def sample(self, sampling: ClipSampling, seed: int) -> RealClip:
        """Decode one sample, drawn by (seed, key). Raises AnimaticError if the clip cannot be decoded."""
        size = (sampling.height, sampling.width)
        params = draw_params(
            sampling, seed, 0, self.key, clip_frames=self.shape.frames, clip_fps=self.shape.fps
        )
        try:
            stored = (self.shape.height, self.shape.width)
            pixels = read_clip(self.mp4(), params.frame_indices, stored, size)
        except (UndecodableError, OSError) as error:
            raise AnimaticError(
                f"held-out clip {self.key} cannot be decoded ({error}); replace or remove it: "
                "a report never leaves clips out"
            ) from error
        return RealClip(self.key, self.caption, params.fps, pixels)


@dataclass(frozen=True)
class HeldOutSet:
    """Clips, and the digest that identifies them with their captions."""

    digest: str
    clips: list[HeldOutClip]

    def choose(self, count: int | None, min_frames: int, seed: int) -> list[int]:
        """Numbers of ``count`` clips (None: all) of at least ``min_frames`` frames, chosen by ``seed``.

        Raises AnimaticError if there are fewer: a report never leaves clips out.
        """
        usable = [n for n, clip in enumerate(self.clips) if clip.shape.frames >= min_frames]
        wanted = len(usable) if count is None else count
        if not usable or wanted > len(usable):
            raise AnimaticError(
                f"{len(usable)} of {len(self.clips)} held-out clips have the {min_frames} frames needed, "
                f"{wanted or 'at least 1'} requested; add clips or request fewer"
            )
        order = Permutation(len(usable), derive_key("evaluate", self.digest, seed))
        return [usable[order[n]] for n in range(wanted)]


def open_held_out(location: str) -> HeldOutSet:
    """Open a dataset (folder or URL), or a folder with NAME.mp4 and NAME.txt, its caption, for each clip.

    Raises AnimaticError if there are no clips, a caption is missing, or a file is not a video.
    """
    folder = Path(location)
    if folder.is_dir() and not (folder / "dataset.json").exists() and any(folder.glob("*.mp4")):
        return _open_folder(folder)
    return _open_dataset(Dataset.open(location))


def _open_dataset(dataset: Dataset) -> HeldOutSet:
    columns = ["key", "caption", "frames", "height", "width", "fps"]
    clips = [
        HeldOutClip(
            key=row["key"],
            caption=row["caption"],
            shape=ClipShape(row["frames"], row["height"], row["width"], row["fps"]),
            mp4=functools.partial(dataset.read, number, "mp4"),
        )
        for number, row in enumerate(dataset.samples.select(columns).to_pylist())
    ]
    return HeldOutSet(dataset.digest, clips)


def _open_folder(folder: Path) -> HeldOutSet:
    clips, fingerprint = [], hashlib.sha256()
    for path in sorted(folder.glob("*.mp4")):
        text, mp4 = path.with_suffix(".txt"), path.read_bytes()
        if not text.exists():
            raise AnimaticError(f"held-out clip {path} has no caption: write it to {text.name} beside it")
        caption = text.read_text().strip()
        try:
            shape = describe_clip(mp4)
        except UndecodableError as error:
            raise AnimaticError(f"{path} is not a video that can be decoded: {error}") from error
        fingerprint.update(f"{path.stem}\0{caption}\0{hashlib.sha256(mp4).hexdigest()}\n".encode())
        clips.append(HeldOutClip(path.stem, caption, shape, path.read_bytes))
    return HeldOutSet(fingerprint.hexdigest(), clips)
