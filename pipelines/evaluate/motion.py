"""Motion of a clip without any weights: where its moving parts go, and whether anything moves at all.

Both detectors are least-squares optical flow (Lucas and Kanade 1981) of clips that are reduced to 32 × 32
pixels and blurred: one over everything that changes, one in cells of the frame and of time.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]
Direction = Literal["left", "right", "up", "down"]
DIRECTIONS: tuple[Direction, ...] = ("left", "right", "up", "down")
DETECTOR, LOCAL_DETECTOR = "global-lucas-kanade/1", "local-lucas-kanade/1"

_FLOW_SIDE = 32  # pixels; clips are reduced to this before motion is measured
_FLOW_BLUR = 1.5  # of these pixels; makes displacements of a few pixels linear
_FLOW_CHANGE = 0.02  # of full brightness; less counts as noise
_CELL = 8  # of these pixels: a side of the local detector's cells
_CELL_PAIRS = 5  # pairs of frames in one cell
_EXPLAINED = 0.7  # least share of a cell's change that its flow explains; noise and fading explain less
MIN_TRAVEL = 0.03  # of the frame's side over the clip; less counts as no motion


@dataclass(frozen=True)
class Motion:
    """How a clip moves, in sides of the frame.

    Attributes:
        right, down: how far what moves gets between first and last frame.
        path: how far the fastest part moves in any directions.
    """

    right: float
    down: float
    path: float

    @property
    def distance(self) -> float:
        """From first to last frame."""
        return math.hypot(self.right, self.down)

    @property
    def direction(self) -> Direction | None:
        """The main direction, or None if nothing gets anywhere."""
        if max(abs(self.right), abs(self.down)) < MIN_TRAVEL:
            return None
        if abs(self.right) > abs(self.down):
            return "right" if self.right > 0 else "left"
        return "down" if self.down > 0 else "up"


def detect_motion(clip: Pixels) -> Motion:
    """The motion of a clip [t h w 3]. Raises ValueError for arrays that are not a clip."""
    if clip.ndim != 4 or len(clip) < 2 or clip.shape[-1] != 3:
        raise ValueError(f"a clip is [t >= 2, h, w, 3], got {clip.shape}")
    gradients = _gradients(clip)
    right, down = _displacement(*gradients)
    return Motion(right, down, _path(*gradients))


def _displacement(change: Floats, along_x: Floats, along_y: Floats, weight: Floats) -> tuple[float, float]:
    """How far what moves gets between first and last frame: (right, down), in sides.

    One flow over all frames and all pixels that change, so a still background of any texture has no
    influence and shapes need not be found.
    """

    def product(a: Floats, b: Floats) -> float:
        return float((weight * a * b).sum())

    mixed = product(along_x, along_y)
    normal: Floats = np.array([[product(along_x, along_x), mixed], [mixed, product(along_y, along_y)]])
    slopes: Floats = np.array([-product(along_x, change), -product(along_y, change)])
    right, down = np.linalg.solve(normal + 1e-6 * np.eye(2), slopes)
    scale = len(change) / _FLOW_SIDE
    return float(right * scale), float(down * scale)


def _path(change: Floats, along_x: Floats, along_y: Floats, weight: Floats) -> float:
    """How far the fastest part moves in any directions, in sides.

    The flow in cells of 8 × 8 of the reduced pixels and five pairs of frames; the sum over time of the
    largest length. Parts that move against each other, turn, or go and come back do not cancel, as they
    do in a displacement. A cell whose flow explains less than 70 % of its change counts as still: noise and
    flicker are no motion.
    """
    starts = np.arange(0, len(change), _CELL_PAIRS)
    cells, side = _FLOW_SIDE // _CELL, _CELL

    def product(a: Floats, b: Floats) -> Floats:
        every: Floats = (weight * a * b).sum(axis=-1)
        in_cells = every.reshape(len(every), cells, side, cells, side).sum(axis=(2, 4))
        return np.add.reduceat(in_cells, starts, axis=0)

    xx, yy, xy = product(along_x, along_x), product(along_y, along_y), product(along_x, along_y)
    xt, yt, tt = product(along_x, change), product(along_y, change), product(change, change)
    ridge = 0.01 * (xx + yy) + 1e-6  # an edge has no flow along itself
    determinant = (xx + ridge) * (yy + ridge) - xy**2
    right = (xy * yt - (yy + ridge) * xt) / determinant
    down = (xy * xt - (xx + ridge) * yt) / determinant
    rest = tt + 2 * (right * xt + down * yt) + right**2 * xx + 2 * right * down * xy + down**2 * yy
    pairs = np.diff(np.append(starts, len(change)))[:, None, None]
    length = np.hypot(right, down) * pairs / _FLOW_SIDE
    moving = (tt > 0) & (rest <= (1 - _EXPLAINED) * tt)
    return float(np.where(moving, length, 0).max(axis=(1, 2)).sum())


def _gradients(clip: Pixels) -> tuple[Floats, Floats, Floats, Floats]:
    """Change between frames [t-1 h w 3], gradients along x and y between them, and weights of the pixels.

    Pixels that change less than noise weigh nothing.
    """
    video = _steady(_blur(np.stack([_reduce(frame) for frame in clip])))
    change, middle = video[1:] - video[:-1], (video[1:] + video[:-1]) / 2
    strength = np.abs(change).max(axis=-1, keepdims=True)
    weight: Floats = np.where(strength > _FLOW_CHANGE, strength, 0)
    return change, np.gradient(middle, axis=2), np.gradient(middle, axis=1), weight


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
    return ndimage.gaussian_filter(video, (0, _FLOW_BLUR, _FLOW_BLUR, 0), truncate=3, mode="nearest")
