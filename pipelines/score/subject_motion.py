"""Subject motion: how far what is filmed moves, the camera's motion left out, of clips and of frames."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from pipelines.score.camera import mean_motion
from pipelines.video.frames import Frames

SHORT_SIDE = 64  # pixels of the pictures that are compared
ASPECT = 4  # largest ratio of their sides; longer pictures are squeezed
_PAIRS_AT_ONCE = 32


def small_picture(luma: Frames) -> Frames:
    """A picture [height, width] with a short side of 64 pixels."""
    height, width = luma.shape
    scale = SHORT_SIDE / min(height, width)
    size = [min(max(SHORT_SIDE, round(side * scale)), ASPECT * SHORT_SIDE) for side in (width, height)]
    return np.asarray(Image.fromarray(luma).resize((size[0], size[1]), Image.Resampling.BOX))


@torch.no_grad()
def motion_course(pictures: Sequence[Frames], device: str = "cpu") -> list[float]:
    """Subject motion from each picture of :func:`small_picture` to the next, in percent of the short side.

    The mean over the picture of how far its points move, beyond the camera's motion: see
    :mod:`pipelines.score.camera`.
    """
    stacked = torch.from_numpy(np.stack(pictures))
    course: list[float] = []
    for start in range(0, len(stacked) - 1, _PAIRS_AT_ONCE):
        both = stacked[start : start + _PAIRS_AT_ONCE + 1].to(device)
        course += (100 / SHORT_SIDE * mean_motion(both[:-1], both[1:])).tolist()
    return course


def clip_motion(frames: Frames, device: str = "cpu") -> float:
    """Mean subject motion from one frame of a clip, [t, h, w, 3], to the next, in percent of the short side.

    Raises ValueError for a single frame.
    """
    if len(frames) < 2:
        raise ValueError("motion needs two frames")
    pictures = [small_picture(np.asarray(Image.fromarray(frame).convert("L"))) for frame in frames]
    return float(np.mean(motion_course(pictures, device)))
