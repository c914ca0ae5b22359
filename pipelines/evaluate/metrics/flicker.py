"""Temporal flicker: how much frames deviate from the middle of their neighbours."""

import numpy as np

from pipelines.evaluate.clips import ClipPair, Pixels
from pipelines.evaluate.metrics.metric import ClipMetric, Column
from pipelines.evaluate.records import Values


class Flicker(ClipMetric):
    """Mean over frames t and pixels of |x_t - (x_{t-1} + x_{t+1}) / 2|, in levels of 255.

    Steady change, a fade or smooth motion of smooth content, cancels; what alternates does not. From 0 to
    255; None for clips of fewer than three frames. It is 0 for a clip that does not move, so read the
    dynamic degree beside it, and compare with ``flicker_on_real``, the same of the real clips.
    """

    name = "flicker"
    unit = "levels of 255"
    better = "lower"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better)
        return own, own.on_real()

    def measure(self, pair: ClipPair) -> Values:
        """Of both clips."""
        return {self.name: flicker(pair.generated), f"{self.name}_on_real": flicker(pair.real)}


def flicker(clip: Pixels) -> float | None:
    """The metric of one clip, uint8 [t h w 3]."""
    if len(clip) < 3:
        return None
    # Frame by frame: integers of 16 bits hold twice a level, and whole clips in floats would not be small.
    frames = [frame.astype(np.int16) for frame in clip]
    total = sum(
        int(np.abs(2 * here - before - after).sum(dtype=np.int64))
        for before, here, after in zip(frames, frames[1:], frames[2:], strict=False)
    )
    return total / (2 * (len(clip) - 2) * clip[0].size)
