"""The GIF of the README: rendered pictures in four directions, and beside them pictures of real footage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from orchestration import media
from orchestration.demo.animated_pictures import PLAYBACK_FPS, Animations, PictureAnimation
from orchestration.demo.gallery import enlarge, read_frames

_SIDE, _GAP, _LABEL = 156, 8, 24  # pixels; GitHub displays the whole at about three quarters of its size
_BETWEEN = 26  # left of real footage
_FONT = 13
_INK = "#57534e"
_LAST_FRAME_MS = 700
_COLOURS, _MOST_BYTES = (255, 160, 96, 48), 1_000_000


def write_readme_gif(out: Path, animations: Animations, path: Path) -> None:
    """Write the GIF, on white.

    Each steered picture is a row: the picture and its animations. As many pictures of real footage as there
    are rows follow at their right, each with its animation.
    """
    steered: dict[str, list[PictureAnimation]] = {}
    for clip in animations.clips:
        if clip.expected:
            steered.setdefault(clip.picture, []).append(clip)
    if not steered:
        return
    real = [clip for clip in animations.clips if not clip.expected][: len(steered)]
    rows = [_steered_row(out, picture, clips) for picture, clips in steered.items()]
    if real:
        beside = [_real_cells(out, clip) for clip in real]
        beside += [np.full_like(beside[0], 255)] * (len(rows) - len(beside))
        rows = [_joined([row, cells], _BETWEEN) for row, cells in zip(rows, beside, strict=True)]
    _save(np.concatenate(rows, axis=1), path)


def _steered_row(out: Path, picture: str, clips: Sequence[PictureAnimation]) -> np.ndarray:
    cells = [_picture(out, picture, clips[0], "one picture")]
    cells += [_clip(out, clip, f"“… {clip.prompt.split(' ', 2)[2]}”") for clip in clips]
    return _joined(cells, _GAP)


def _real_cells(out: Path, clip: PictureAnimation) -> np.ndarray:
    return _joined([_picture(out, clip.picture, clip, "real footage"), _clip(out, clip, "animated")], _GAP)


def _picture(out: Path, picture: str, clip: PictureAnimation, label: str) -> np.ndarray:
    """The picture as the network sees it, not the larger original, for as long as the clip."""
    frames = read_frames(out / clip.mp4)
    with Image.open(out / picture) as image:
        small = image.convert("RGB").resize(frames.shape[2:0:-1], Image.Resampling.LANCZOS)
    return _labelled(enlarge(np.asarray(small)[None], _SIDE).repeat(len(frames), axis=0), label)


def _clip(out: Path, clip: PictureAnimation, label: str) -> np.ndarray:
    return _labelled(enlarge(read_frames(out / clip.mp4), _SIDE), label)


def _labelled(frames: np.ndarray, text: str) -> np.ndarray:
    """Frames with a line of text below, on white."""
    canvas = Image.new("RGB", (frames.shape[2], _LABEL), "white")
    ImageDraw.Draw(canvas).text((1, 4), text, fill=_INK, font=ImageFont.load_default(_FONT))
    label = np.asarray(canvas)[None].repeat(len(frames), axis=0)
    return np.concatenate([frames, label], axis=1)


def _joined(cells: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Cells (t h w 3) side by side, with white between them."""
    white = np.full_like(cells[0][:, :, :1], 255).repeat(gap, axis=2)
    parts = [part for cell in cells for part in (white, cell)]
    return np.concatenate(parts[1:], axis=2)


def _save(frames: np.ndarray, path: Path) -> None:
    """Write with as many colours as the limit of the size allows."""
    for colours in _COLOURS:
        _write_gif(frames, path, colours)
        if path.stat().st_size <= _MOST_BYTES:
            return


def _write_gif(frames: np.ndarray, path: Path, colours: int) -> None:
    images = [Image.fromarray(frame) for frame in frames]
    # One palette for all frames: without it the background shimmers.
    palette = Image.fromarray(np.concatenate(list(frames[:: max(1, len(frames) // 4)]))).quantize(colours)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [media.gif_delay_ms(PLAYBACK_FPS)] * (len(images) - 1) + [_LAST_FRAME_MS]
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=True)
