"""Motion of a clip without any weights: its direction and how far its moving parts travel."""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.evaluate.clips import Pixels

Floats = npt.NDArray[np.floating]
Direction = Literal["left", "right", "up", "down"]
DIRECTIONS: tuple[Direction, ...] = ("left", "right", "up", "down")
DETECTOR = "global-lucas-kanade/1"

_FLOW_SIDE = 32  # pixels; clips are reduced to this before motion is measured
_FLOW_BLUR = 1.5  # of these pixels; makes displacements of a few pixels linear
_FLOW_CHANGE = 0.02  # of full brightness; less counts as noise
MIN_TRAVEL = 0.03  # of the frame's side over the clip; less counts as no motion


def displacement(clip: Pixels) -> tuple[float, float]:
    """How far moving parts of a clip [t h w 3] travel between first and last frame: (right, down), in sides.

    One least-squares optical flow (Lucas and Kanade 1981) over all frames and all pixels that change, so a
    still background of any texture has no influence and shapes need not be found. Raises ValueError for
    arrays that are not a clip.
    """
    if clip.ndim != 4 or len(clip) < 2 or clip.shape[-1] != 3:
        raise ValueError(f"a clip is [t >= 2, h, w, 3], got {clip.shape}")
    video = _steady(_blur(np.stack([_reduce(frame) for frame in clip])))
    change, middle = video[1:] - video[:-1], (video[1:] + video[:-1]) / 2
    along_x, along_y = np.gradient(middle, axis=2), np.gradient(middle, axis=1)
    strength = np.abs(change).max(axis=-1, keepdims=True)
    weight = np.where(strength > _FLOW_CHANGE, strength, 0)

    def product(a: Floats, b: Floats) -> float:
        return float((weight * a * b).sum())

    mixed = product(along_x, along_y)
    normal: Floats = np.array([[product(along_x, along_x), mixed], [mixed, product(along_y, along_y)]])
    slopes: Floats = np.array([-product(along_x, change), -product(along_y, change)])
    right, down = np.linalg.solve(normal + 1e-6 * np.eye(2), slopes)
    scale = (len(clip) - 1) / _FLOW_SIDE
    return float(right * scale), float(down * scale)


def motion_direction(clip: Pixels) -> Direction | None:
    """Main direction of motion in a clip [t h w 3], or None if it does not move."""
    right, down = displacement(clip)
    if max(abs(right), abs(down)) < MIN_TRAVEL:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


def _reduce(frame: Pixels) -> Floats:
    small = Image.fromarray(frame).resize((_FLOW_SIDE, _FLOW_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def _steady(video: Floats) -> Floats:
    """The video with every frame at the average brightness and contrast, so that flicker is not motion."""
    level, contrast = video.mean(axis=(1, 2), keepdims=True), video.std(axis=(1, 2, 3), keepdims=True)
    gain = contrast.mean() / np.maximum(contrast, 1e-3)
    return (video - level) * gain + level.mean(axis=0)


def _blur(video: Floats) -> Floats:
    """Gaussian blur of [t h w c] along h and w, edges repeated."""
    radius = math.ceil(3 * _FLOW_BLUR)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / _FLOW_BLUR) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        padding = [(radius, radius) if each == axis else (0, 0) for each in range(4)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(video, padding, mode="edge"), len(kernel), axis=axis
        )
        video = windows @ kernel
    return video
