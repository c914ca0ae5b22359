"""Metrics of generated clips: fidelity of the first frame, direction of motion, and their intervals."""

import math
import re
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.floating]
Direction = Literal["left", "right", "up", "down"]
DIRECTIONS: tuple[Direction, ...] = ("left", "right", "up", "down")
DETECTOR = "global-lucas-kanade/1"  # part of every protocol: detectors' figures are not comparable
PSNR_OF_EQUALS = 100.0  # dB; of equal images it is infinite, which JSON cannot express

_FLOW_SIDE = 32  # pixels; clips are reduced to this before motion is measured
_FLOW_BLUR = 1.5  # of these pixels; makes displacements of a few pixels linear
_FLOW_CHANGE = 0.02  # of full brightness; less counts as noise
_MIN_TRAVEL = 0.03  # of the frame's side over the clip; less counts as no motion
_Z95 = 1.959964


def psnr(image: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; equal images get PSNR_OF_EQUALS."""
    if image.shape != reference.shape:
        raise ValueError(f"images of shapes {image.shape} and {reference.shape} cannot be compared")
    error = float(np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2))
    return min(PSNR_OF_EQUALS, 10 * math.log10(255**2 / error)) if error > 0 else PSNR_OF_EQUALS


def travel(clip: npt.NDArray[np.uint8]) -> tuple[float, float]:
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


def motion_direction(clip: npt.NDArray[np.uint8]) -> Direction | None:
    """Main direction of motion in a clip [t h w 3], or None if it does not move."""
    right, down = travel(clip)
    if max(abs(right), abs(down)) < _MIN_TRAVEL:
        return None
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


def caption_direction(caption: str) -> Direction | None:
    """The one direction that a caption names, or None if it names none or several."""
    named = {word for word in DIRECTIONS if re.search(rf"\b{word}\b", caption, re.IGNORECASE)}
    return named.pop() if len(named) == 1 else None


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927). Raises ValueError without trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials")
    share, z2 = successes / trials, _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by the normal approximation; the mean alone for a single value."""
    mean = float(np.mean(values))
    half = _Z95 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def _reduce(frame: npt.NDArray[np.uint8]) -> Floats:
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
