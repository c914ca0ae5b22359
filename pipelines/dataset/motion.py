"""The columns of subject motion beside a dataset, and the motion of a part of a clip."""

import math
from collections.abc import Sequence

SUBJECT_MOTION, MOTION_COURSE = "subject_motion", "subject_motion_course"
MOTION_HZ = 8  # frames that are compared are an eighth of a second apart, or one frame of slower clips


def frames_apart(fps: float) -> int:
    """Frames from one measurement of a clip's motion to the next."""
    return max(1, round(fps / MOTION_HZ))


def speed_between(course: Sequence[float], fps: float, start: float, end: float) -> float:
    """Mean speed of what a clip shows from ``start`` to ``end``, in percent of the short side a second.

    Args:
        course: speed in each part of ``frames_apart(fps)`` frames, from the clip's first frame on.
        fps: of the clip that was measured.
        start, end: seconds. What is after the last part moves as that part does.
    """
    part = frames_apart(fps) / fps
    first = min(int(start / part), len(course) - 1)
    last = min(max(first + 1, math.ceil(end / part - 1e-9)), len(course))
    shares = [
        min(end, math.inf if number == len(course) - 1 else (number + 1) * part) - max(start, number * part)
        for number in range(first, last)
    ]
    if end <= start or sum(shares) <= 0:
        return course[first]
    return sum(share * course[first + n] for n, share in enumerate(shares)) / sum(shares)
