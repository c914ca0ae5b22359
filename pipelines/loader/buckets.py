"""Buckets: samples of several shapes and lengths, of which each batch has one.

A clip belongs to one bucket for good: of those nearest to it in shape, the one with most frames that it has
enough for.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from pipelines.loader.sampling import ClipSampling

NOWHERE = -1


class Bucket(BaseModel):
    """Samples of one size; it prints as ``320x512x16``: height, width, frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(ge=8, description="pixels")
    width: int = Field(ge=8, description="pixels")
    frames: int = Field(ge=1, description="frames per sample")
    batch: int | None = Field(None, ge=1, description="samples per step; null: train.global_batch")

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.frames}"

    @property
    def aspect(self) -> Fraction:
        """Width over height."""
        return Fraction(self.width, self.height)

    def sampling(self, of: ClipSampling) -> ClipSampling:
        """The same sampling, of samples of this bucket. Raises ValueError if it names a frame they lack."""
        if isinstance(of.condition, int) and of.condition >= self.frames:
            raise ValueError(f"condition is frame {of.condition}, but bucket {self} has only {self.frames}")
        return of.model_copy(update={"height": self.height, "width": self.width, "frames": self.frames})


def assign(
    buckets: Sequence[Bucket],
    sampling: ClipSampling,
    *,
    heights: npt.NDArray[np.integer],
    widths: npt.NDArray[np.integer],
    frames: npt.NDArray[np.integer],
    fps: npt.NDArray[np.float64],
) -> npt.NDArray[np.int16]:
    """Each clip's bucket, by number; NOWHERE for those with too few frames for all buckets of their shape.

    Of buckets that suit a clip equally well, the first takes it. The length of images is nothing to choose
    by. All arrays are (n), an entry a clip.
    """
    shapes = list(dict.fromkeys(bucket.aspect for bucket in buckets))
    shape = _nearest(shapes, heights.astype(np.int64), widths.astype(np.int64))
    assigned = np.full(len(frames), NOWHERE, np.int16)
    preferred = list(enumerate(buckets))
    if not sampling.images_only:
        preferred.sort(key=lambda numbered: -numbered[1].frames)
    for number, bucket in preferred:
        left = np.flatnonzero((shape == shapes.index(bucket.aspect)) & (assigned == NOWHERE))
        needed = bucket.sampling(sampling).frames_needed(fps[left])
        assigned[left[frames[left] >= needed]] = number
    return assigned


def _nearest(
    shapes: Sequence[Fraction], heights: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The number of the shape whose logarithm is nearest to the clip's; of two as near, the first.

    Compared in integers: where the middle between two shapes lies must not depend on the machine.
    """
    rising = sorted(range(len(shapes)), key=lambda number: shapes[number])
    place = np.zeros(len(heights), np.int64)
    for lower, upper in pairwise(rising):
        middle = shapes[lower] * shapes[upper]  # squared, of width over height
        clip, border = widths**2 * middle.denominator, heights**2 * middle.numerator
        place += (clip > border) if lower < upper else (clip >= border)
    return np.array(rising)[place]
