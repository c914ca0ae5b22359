"""What the processes of a run report to what has launched them."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from typing import NamedTuple

from training.control import Activity, Phase, RunControl

BEAT_S = 2.0
# So many beats a second are sent at most by all processes of a run.
BEATS_PER_S = 50
# What lasts for so long, or several times the longest step if that is longer, is worth a message.
LONG_S = 30.0


def beat_interval_s(size: int) -> float:
    """Between two beats of each of ``size`` processes, in seconds."""
    return max(BEAT_S, size / BEATS_PER_S)


@dataclass(frozen=True)
class Beat:
    """A sign of life of a worker.

    Attributes:
        node: Ray's id of its node; empty without Ray.
        seconds: since it began its activity.
        longest_step_s: that it has trained on a batch.
        part, parts: of its activity: see :class:`training.control.Activity`.
        allowed_s: for how long the activity may last before it counts as a hang; None: without limit.
    """

    rank: int
    node: str
    host: str
    pid: int
    phase: Phase
    step: int
    seconds: float
    longest_step_s: float
    part: str = ""
    parts: int = 0
    allowed_s: float | None = None

    @classmethod
    def of(cls, control: RunControl, rank: int, node: str = "", allowed_s: float | None = None) -> Beat:
        """That of this process, now."""
        activity = control.activity
        return cls(
            rank,
            node,
            platform.node(),
            os.getpid(),
            activity.phase,
            activity.step,
            time.monotonic() - activity.since,
            control.longest_step_s,
            activity.part,
            activity.parts,
            allowed_s,
        )

    @property
    def activity(self) -> Activity:
        """What the worker is doing; its time is not that of this machine."""
        return Activity(self.phase, self.step, 0.0, self.part, self.parts)

    @property
    def position(self) -> tuple[int, Phase, int]:
        """How far the worker is. Parts are compared within a step alone: other work is that of one process,
        for which all others wait."""
        return self.step, self.phase, self.parts if self.phase is Phase.TRAINING else 0

    @property
    def worker(self) -> str:
        """The worker, for messages."""
        return f"worker {self.rank} ({self.host}, pid {self.pid})"


@dataclass(frozen=True)
class Failure:
    """An error that a worker ended with; ``lost_peer``: because the connection to another one broke."""

    rank: int
    message: str
    lost_peer: bool = False


class Sign(NamedTuple):
    """What is exported of a worker: the seconds since its newest beat, and the step that it was in."""

    age_s: float
    step: int


@dataclass(frozen=True)
class Seen:
    """The newest beat of a worker, and how long ago it arrived, in seconds."""

    beat: Beat
    ago_s: float

    @property
    def unchanged_s(self) -> float:
        """Since the worker is known to have begun its activity."""
        return self.ago_s + self.beat.seconds
