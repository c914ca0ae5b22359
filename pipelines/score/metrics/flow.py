"""``flow``: how fast what is seen moves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.score.metrics.metric import Frame, Metric, Plane, ScoredRow, Value, column_of, evenly
from pipelines.score.optical_flow import flow
from pipelines.score.subject_motion import SHORT_SIDE, small_picture

HZ = 8  # pairs are an eighth of a second apart, or two frames of slower clips
PAIRS = 8
_SOURCE = {
    "method": "pyramidal-lucas-kanade/1",
    "short_side": str(SHORT_SIDE),
    "hz": str(HZ),
    "pairs": str(PAIRS),
}


@dataclass
class FramePairs:
    """Small copies of pairs of frames of one clip, and the seconds between the frames of a pair."""

    seconds: float
    wanted: list[int]
    apart: int
    small: list[Plane] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.small.append(small_picture(frame.luma))

    def pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """First and second frames, (pairs h w)."""
        taken = dict(zip(sorted(set(self.wanted)), self.small, strict=True))
        firsts = self.wanted[::2]
        first, second = (np.stack([taken[n + later] for n in firsts]) for later in (0, self.apart))
        return torch.from_numpy(first), torch.from_numpy(second)


class Flow(Metric[FramePairs]):
    """Mean length of the optical flow over picture and clip, in percent of the short side a second.

    Independent of size and frame rate. Of up to 8 pairs of frames, spread evenly; see ``optical_flow`` for
    what it misses. Reliable up to 100 %/s; faster motion is underestimated, a cut looks like fast motion.
    """

    reads = "clip"
    suits_images = False

    def __init__(self, device: str) -> None:
        self._device = device

    def columns(self) -> list[WantedColumn]:
        """``flow``."""
        return [column_of("flow", _SOURCE)]

    def observer(self, row: ScoredRow) -> FramePairs:
        """For one sample."""
        frames, fps = row["frames"], row["fps"]
        apart = max(1, round(fps / HZ))
        firsts = evenly(frames - apart, PAIRS) if frames > apart and fps > 0 else []
        return FramePairs(
            apart / fps if firsts else 0.0, [n for at in firsts for n in (at, at + apart)], apart
        )

    def values(self, observed: Sequence[FramePairs]) -> list[tuple[Value, ...]]:
        """The mean of each; None of a clip that is too short for a pair."""
        return [(self._value(each),) for each in observed]

    @torch.no_grad()
    def _value(self, pairs: FramePairs) -> Value:
        if not pairs.wanted:
            return None
        first, second = (frames.to(self._device) for frames in pairs.pairs())
        length = flow(first, second).norm(dim=1).mean().item()
        short = min(first.shape[-2:])
        return round(100 * length / short / pairs.seconds, 3)
