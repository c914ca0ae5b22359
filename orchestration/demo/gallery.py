"""The clips of the report page and the README, enlarged for display in browsers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from orchestration import media
from orchestration.demo import animated_pictures, own_pictures
from pipelines.evaluate.metrics import caption_direction, detect_motion

if TYPE_CHECKING:
    from pipelines.evaluate import ClipRow, EvaluationReport

# Pixels of clips on the page, which are drawn at half of that or less, and sharp on dense screens.
LARGE, SIDE = 384, 288
FOLDER = "media"
_CRF = 21
PER_DIRECTION = 2
PER_FOLDER = 3  # of clips whose caption names no direction
OWN_CLIPS = 6  # on the page


@dataclass(frozen=True)
class Pair:
    """A held-out clip beside what was generated from its first frame; paths relative to the demo's folder."""

    caption: str
    picture: str
    generated: dict[int, str]
    real: str
    expected: str | None
    found: Mapping[int, str | None]


@dataclass(frozen=True)
class SteeredPicture:
    """One picture and its animations, one for each prompt."""

    picture: str
    clips: list[tuple[animated_pictures.PictureAnimation, str]]

    @property
    def directed(self) -> bool:
        """Whether its prompts name directions."""
        return self.clips[0][0].expected is not None

    @property
    def subject(self) -> str:
        """The picture in words: its prompts without the direction."""
        prompt = self.clips[0][0].prompt
        return prompt.rsplit(" moves ", 1)[0] if self.directed else prompt


@dataclass(frozen=True)
class OwnClip:
    """One of the user's own pictures: its animation, enlarged, and its prompt for display."""

    made: animated_pictures.OwnAnimation
    path: str
    prompt: str


def enlarge(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Frames (t h w 3) with their short side at ``side``, smoothly (Lanczos)."""
    scale = side / min(frames.shape[1:3])
    size = (round(frames.shape[2] * scale), round(frames.shape[1] * scale))
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames]
    )


def pairs(
    out: Path,
    evaluations: Mapping[int, Path],
    reports: Mapping[int, EvaluationReport],
    folders: Mapping[str, str],
    fps: float,
) -> list[Pair]:
    """The evaluation's first clips of each direction, then those without one: chosen by position, not by
    result.

    Args:
        folders: source video → ``page_dir``, see :func:`clip_kinds.held_out_folders`.
    """
    if not reports:
        return []
    last = max(reports)
    captions = {row["key"]: row["caption"] for row in reports[last]["clips"]}
    arrays = {stage: dict(_generated(evaluations[stage])) for stage in reports}
    made = []
    for key in _selection(reports[last]["clips"], folders):
        real = arrays[last][key][0]
        picture, truth = f"{FOLDER}/{key}-input.png", f"{FOLDER}/{key}-real.mp4"
        media.write_png(enlarge(real[:1])[0], out / picture)
        _write_clip(enlarge(real), out / truth, fps)
        generated = {}
        for stage in reports:
            if key in arrays[stage]:
                generated[stage] = f"{FOLDER}/{key}-stage-{stage}.mp4"
                _write_clip(enlarge(arrays[stage][key][1]), out / generated[stage], fps)
        caption = captions[key]
        found = {stage: detect_motion(arrays[stage][key][1]).direction for stage in generated}
        made.append(Pair(caption, picture, generated, truth, caption_direction(caption), found))
    return made


def steered(out: Path, animations: animated_pictures.Animations) -> list[SteeredPicture]:
    """The animations by picture, enlarged."""
    groups: dict[str, list[tuple[animated_pictures.PictureAnimation, str]]] = {}
    for clip in animations.clips:
        groups.setdefault(clip.picture, []).append((clip, _enlarged_file(out, clip)))
    return [SteeredPicture(picture, clips) for picture, clips in groups.items()]


def own(out: Path, animations: animated_pictures.Animations) -> list[OwnClip]:
    """The user's newest pictures with their animations, enlarged."""
    return [
        OwnClip(clip, _enlarged_file(out, clip), own_pictures.shortened(clip.prompt))
        for clip in animations.own[:OWN_CLIPS]
    ]


def _enlarged_file(out: Path, clip: animated_pictures.PictureAnimation) -> str:
    """Path of the enlarged clip, relative to the demo's folder."""
    large = f"{FOLDER}/{Path(clip.mp4).stem}.mp4"
    frames = enlarge(read_frames(out / clip.mp4), LARGE)
    _write_clip(frames, out / large, animated_pictures.PLAYBACK_FPS)
    return large


def _write_clip(frames: np.ndarray, path: Path, fps: float) -> None:
    """An enlarged clip is smooth, and needs fewer bytes than the original for the same looks."""
    media.write_mp4(frames, path, fps, crf=_CRF)


def read_frames(path: Path) -> np.ndarray:
    """All frames of an mp4: (t h w 3) uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _selection(rows: list[ClipRow], folders: Mapping[str, str]) -> list[str]:
    """Keys: the first of each direction, then the first of each folder among the others."""
    directed: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for row in rows:
        direction = caption_direction(row["caption"])
        if direction is not None:
            directed.setdefault(direction, []).append(row["key"])
        else:
            others.setdefault(folders.get(row["source"], ""), []).append(row["key"])
    chosen = [directed[direction][:PER_DIRECTION] for direction in sorted(directed)]
    chosen += [others[folder][:PER_FOLDER] for folder in sorted(others)]
    return [key for keys in chosen for key in keys]


def _generated(folder: Path) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    """Key → (real, generated), both (t h w 3)."""
    for path in sorted((folder / "chunks").glob("chunk-*.npz")):
        with np.load(path) as chunk:
            for key, real, generated in zip(chunk["keys"], chunk["real"], chunk["generated"], strict=True):
                yield str(key), (real, generated)
