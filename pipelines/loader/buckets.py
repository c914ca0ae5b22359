"""Buckets: samples of several shapes and lengths, one of them per batch.

A clip belongs to one bucket for the whole run: among the buckets whose shape is nearest to its own, the one
with the most frames that the clip can fill.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.config.section import Section
from pipelines.loader.sampling import ClipSampling

NO_BUCKET = -1


class Bucket(Section):
    """Samples of one size; it prints as ``320x512x16``: height, width, frames."""

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

    def sampling(self, base: ClipSampling) -> ClipSampling:
        """``base`` with this bucket's size. Raises ValueError if it names a frame that the bucket lacks."""
        if isinstance(base.condition, int) and base.condition >= self.frames:
            raise ValueError(f"condition is frame {base.condition}, but bucket {self} has only {self.frames}")
        return base.model_copy(update={"height": self.height, "width": self.width, "frames": self.frames})


def assign_buckets(
    buckets: Sequence[Bucket],
    sampling: ClipSampling,
    *,
    heights: npt.NDArray[np.integer],
    widths: npt.NDArray[np.integer],
    frames: npt.NDArray[np.integer],
    fps: npt.NDArray[np.float64],
) -> npt.NDArray[np.int16]:
    """Each clip's bucket by number, NO_BUCKET for clips that are too short for every bucket of their shape.

    Of buckets that suit a clip equally well, the first takes it. For images, lengths do not matter.
    All arrays are (clips).
    """
    shapes = list(dict.fromkeys(bucket.aspect for bucket in buckets))
    shape = _nearest(shapes, heights.astype(np.int64), widths.astype(np.int64))
    assigned = np.full(len(frames), NO_BUCKET, np.int16)
    preferred = list(enumerate(buckets))
    if not sampling.images_only:
        preferred.sort(key=lambda numbered: -numbered[1].frames)
    for number, bucket in preferred:
        left = np.flatnonzero((shape == shapes.index(bucket.aspect)) & (assigned == NO_BUCKET))
        needed = bucket.sampling(sampling).frames_needed(fps[left])
        assigned[left[frames[left] >= needed]] = number
    return assigned


def _nearest(
    shapes: Sequence[Fraction], heights: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The number of the shape whose logarithm is nearest to each clip's; of two equally near, the first.

    Compared in integers: rounding would put the border between two shapes elsewhere on other machines.
    """
    rising = sorted(range(len(shapes)), key=lambda number: shapes[number])
    rank = np.zeros(len(heights), np.int64)
    for lower, upper in pairwise(rising):
        border = shapes[lower] * shapes[upper]  # the square of the width over height halfway between them
        clip, limit = widths**2 * border.denominator, heights**2 * border.numerator
        rank += (clip > limit) if lower < upper else (clip >= limit)
    return np.array(rising)[rank]
