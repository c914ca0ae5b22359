"""``subject_motion``: how fast what is filmed moves, the camera's motion left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.dataset.motion import MOTION_COURSE, MOTION_HZ, SUBJECT_MOTION, frames_apart
from pipelines.score.metrics.metric import Frame, Metric, Plane, ScoredRow, Value, column_of
from pipelines.score.subject_motion import SHORT_SIDE, motion_course, small_picture

_SOURCE = {
    "method": "pyramidal-lucas-kanade/1 without a robust affine fit/2",
    "short_side": str(SHORT_SIDE),
    "hz": str(MOTION_HZ),
}


@dataclass
class FrameCourse:
    """Small copies of frames at equal distances over a clip, and the seconds between them."""

    seconds: float
    wanted: range
    small: list[Plane] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.small.append(small_picture(frame.luma))


class SubjectMotion(Metric[FrameCourse]):
    """Mean length of the flow that remains without the camera's, in percent of the short side a second.

    Of the whole clip, and of each eighth of a second of it (or of each frame, of slower clips), from which
    training computes the motion of the frames that it draws. Limits as of ``flow``.
    """

    reads = "clip"
    suits_images = False

    def __init__(self, device: str) -> None:
        self._device = device

    def columns(self) -> list[WantedColumn]:
        """``subject_motion`` and ``subject_motion_course``, a list."""
        course = WantedColumn(MOTION_COURSE, pa.list_(pa.float32()), _SOURCE)
        return [column_of(SUBJECT_MOTION, _SOURCE), course]

    def observer(self, row: ScoredRow) -> FrameCourse:
        """For one sample."""
        frames, fps = row["frames"], row["fps"]
        if fps <= 0:
            return FrameCourse(0.0, range(0))
        apart = frames_apart(fps)
        wanted = range(0, frames, apart)
        return FrameCourse(apart / fps, wanted if len(wanted) > 1 else range(0))

    def values(self, observed: Sequence[FrameCourse]) -> list[tuple[Value, ...]]:
        """Mean and course of each; None of a clip that is too short for a pair of frames."""
        return [self._values(each) for each in observed]

    def _values(self, course: FrameCourse) -> tuple[Value, ...]:
        if not course.wanted:
            return None, None
        speeds = [moved / course.seconds for moved in motion_course(course.small, self._device)]
        return round(float(np.mean(speeds)), 3), [round(speed, 3) for speed in speeds]
