"""``blur``: how blurred the frames of a clip are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.score.metrics.metric import Frame, Metric, Plane, ScoredRow, Value, column_of, evenly

WINDOW = 11  # pixels of the box filter, as in the paper's evaluation
_EMPTY = 0.1  # luma levels; frames whose mean difference between neighbours is less show nothing


@dataclass
class BlurOfFrames:
    """The blur of some frames; frames that show nothing have none."""

    wanted: list[int]
    values: list[float] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Measure the next frame."""
        value = blur(frame.luma)
        if value is not None:
            self.values.append(value)


class Blur(Metric[BlurOfFrames]):
    """Median over evenly drawn frames of :func:`blur`, 0 (sharp) to 1; larger is more blurred."""

    reads = "clip"
    suits_images = True

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def columns(self) -> list[WantedColumn]:
        """``blur``."""
        source = {"method": "crete-2007/1", "window": str(WINDOW), "frames": str(self._frames)}
        return [column_of("blur", source)]

    def observer(self, row: ScoredRow) -> BlurOfFrames:
        """For one sample."""
        return BlurOfFrames(evenly(row["frames"], self._frames))

    def values(self, observed: Sequence[BlurOfFrames]) -> list[tuple[Value, ...]]:
        """The median of each; None of a clip that shows nothing."""
        return [(round(float(np.median(each.values)), 4) if each.values else None,) for each in observed]


def blur(luma: Plane) -> float | None:
    """How little the differences between neighbours change when a picture is blurred, 0 to 1.

    A sharp picture loses most of them, a blurred one few: Crete, Dolmiere, Ladret and Nicolas 2007, *The blur
    effect: perception and estimation with a new no-reference perceptual blur metric*. It does not depend on
    contrast. Of pixels as they are stored: an enlarged picture is blurred. Noise counts as sharpness. None of
    a picture without differences.
    """
    picture = luma.astype(np.float32)
    found = [_blur_along(picture, axis) for axis in (0, 1)]
    known = [value for value in found if value is not None]
    return max(known) if known else None


def _blur_along(picture: npt.NDArray[np.float32], axis: int) -> float | None:
    blurred = ndimage.uniform_filter1d(picture, WINDOW, axis=axis, mode="nearest")
    before, after = (np.abs(np.diff(each, axis=axis)) for each in (picture, blurred))
    total = float(before.sum())
    if total < _EMPTY * before.size:
        return None
    lost = float(np.maximum(before - after, 0).sum())
    return (total - lost) / total
