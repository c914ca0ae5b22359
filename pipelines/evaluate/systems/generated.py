"""Clips that another system generated for the same pictures: ``KEY.mp4``, or ``KEY/`` with frames."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import AnimaticError, RejectedError
from core.files import content_digests
from pipelines.evaluate.clips import Pixels, RealClip, SampleShape
from pipelines.evaluate.records import SystemRecord
from pipelines.video import ClipSettings, VideoSandbox
from pipelines.video.frames import UndecodableError, read_clip, read_image

RESIZE = "aspect kept, centre cropped"
_FRAMES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
# Lossless, at the size and rate of the file: the frames stay what the system made.
_EXACT = ClipSettings(
    short_side=4320, small="keep", fps_max=1000.0, interlaced="keep", max_clips=1, min_frames=1, crf=0
)
_DEADLINE_S = 120.0
_MEMORY = 4 << 30
_LISTED = 3  # names in a message


@dataclass(frozen=True)
class GeneratedSystem:
    """A folder of clips as a system: see :func:`generated_system`."""

    folder: Path
    record: SystemRecord
    sample_shape: SampleShape

    def shape(self, stride: int) -> SampleShape:
        """The frames and pixels at which its clips are compared."""
        return replace(self.sample_shape, stride=stride)

    def check(self, keys: Sequence[str]) -> None:
        """Raise AnimaticError unless the folder has a clip for each key, and nothing else."""
        GeneratedFolder(self.folder).require_keys(keys)

    def open(self, device: str) -> "OpenGenerated":
        """The clips of the folder. Raises AnimaticError if they have changed since they were described."""
        clips = GeneratedFolder(self.folder)
        if clips.digest() != self.record["digest"]:
            raise AnimaticError(f"{self.folder} has changed since the evaluation began: rerun it")
        return OpenGenerated(clips, self.sample_shape)


@dataclass(frozen=True)
class OpenGenerated:
    """Reads clips in place of generating them."""

    clips: "GeneratedFolder"
    sample_shape: SampleShape
    animator: None = None

    def generate(self, clips: Sequence[RealClip], seed: int) -> Pixels:
        """The clips with these keys, uint8 [n t h w 3]; errors as of :meth:`GeneratedFolder.read`."""
        size = (self.sample_shape.height, self.sample_shape.width)
        return self.clips.read([clip.key for clip in clips], self.sample_shape.frames, size)


def generated_system(
    folder: Path, shape: SampleShape, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> GeneratedSystem:
    """Describe the clips of a folder, compared at ``shape``.

    ``on_progress`` gets (megabytes read, megabytes): the folder is identified by all its files.
    Raises AnimaticError if there is no such folder.
    """
    clips = GeneratedFolder(folder)
    clips.require_folder()
    record: SystemRecord = {
        "kind": "generated",
        "name": folder.resolve().name,
        "digest": clips.digest(on_progress),
        "sampling": {"resize": RESIZE, "frames": "the first"},
    }
    return GeneratedSystem(folder.resolve(), record, shape)


class GeneratedFolder:
    """The clips of a folder, by key. Files are decoded as raw videos are: in a process that may die."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def require_keys(self, keys: Sequence[str]) -> None:
        """Raise AnimaticError unless the folder has a clip for each key, and nothing else."""
        found = self._keys()
        missing, extra = sorted(set(keys) - found), sorted(found - set(keys))
        problems = []
        if missing:
            problems.append(f"lacks {len(missing)} of {len(keys)} clips ({_some(missing)})")
        if extra:
            problems.append(f"has {len(extra)} that were not asked for ({_some(extra)})")
        if problems:
            raise AnimaticError(
                f"{self._folder} {' and '.join(problems)}: it must contain KEY.mp4, or a folder KEY with "
                "frames, for each exported picture, and nothing else"
            )

    def digest(self, on_progress: Callable[[int, int], None] = lambda done, total: None) -> str:
        """Identifies all files by names and contents; ``on_progress`` gets (megabytes read, megabytes)."""
        return content_digests({"generated": self._folder}, on_progress)["generated"]

    def read(self, keys: Sequence[str], frames: int, size: tuple[int, int]) -> Pixels:
        """The first ``frames`` of each clip at ``size`` (height, width), uint8 [n t h w 3]: see RESIZE.

        Raises AnimaticError if a clip cannot be decoded, or is shorter.
        """
        with tempfile.TemporaryDirectory() as scratch, VideoSandbox(_EXACT, _DEADLINE_S, _MEMORY) as sandbox:
            clips = []
            for key in keys:
                pictures = self._folder / key
                if pictures.is_dir():
                    clips.append(_read_pictures(pictures, frames, size))
                else:
                    video = self._folder / f"{key}.mp4"
                    clips.append(_read_video(video, frames, size, sandbox, Path(scratch)))
            return np.stack(clips)

    def require_folder(self) -> None:
        """Raise AnimaticError if there is no such folder."""
        if not self._folder.is_dir():
            raise AnimaticError(f"{self._folder} is not a folder with generated clips")

    def _keys(self) -> set[str]:
        self.require_folder()
        keys: set[str] = set()
        for path in self._folder.iterdir():
            key = path.name.removesuffix(".mp4") if path.is_file() else path.name
            if key in keys:
                raise AnimaticError(f"{self._folder} has both {key}.mp4 and a folder {key}: remove one")
            keys.add(key)
        return keys


def _read_pictures(folder: Path, frames: int, size: tuple[int, int]) -> Pixels:
    found = sorted((path for path in folder.iterdir() if path.suffix.lower() in _FRAMES), key=_number)
    if len(found) < frames:
        raise AnimaticError(f"{folder} has {len(found)} frames, {frames} are needed")
    try:
        return np.stack([read_image(path.read_bytes(), size) for path in found[:frames]])
    except (UndecodableError, OSError) as error:
        raise AnimaticError(f"a frame in {folder} cannot be decoded: {error}") from error


def _read_video(
    path: Path, frames: int, size: tuple[int, int], sandbox: VideoSandbox, scratch: Path
) -> Pixels:
    try:
        record = sandbox.normalise(path.resolve(), "clip", scratch)[0]
        if record["frames"] < frames:
            raise AnimaticError(f"{path} has {record['frames']} frames, {frames} are needed")
        mp4 = (scratch / f"{record['key']}.mp4").read_bytes()
        return read_clip(mp4, list(range(frames)), (record["height"], record["width"]), size)
    except (RejectedError, UndecodableError, OSError) as error:
        raise AnimaticError(f"generated clip {path} cannot be decoded: {error}") from error


def _number(path: Path) -> tuple[int, str]:
    """Frames are ordered by the last number in their names, so that 10 follows 9."""
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
