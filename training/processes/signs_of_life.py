"""What the processes of a run report to what has launched them."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass

from training.control import Activity, Phase, RunControl


@dataclass(frozen=True)
class Beat:
    """A sign of life of a worker.

    Attributes:
        node: Ray's id of its node; empty without Ray.
        seconds: since it began its activity.
        longest_step_s: that it has trained on a batch.
    """

    rank: int
    node: str
    host: str
    pid: int
    phase: Phase
    step: int
    seconds: float
    longest_step_s: float

    @classmethod
    def of(cls, control: RunControl, rank: int, node: str = "") -> Beat:
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
        )

    @property
    def activity(self) -> Activity:
        """What the worker is doing; its time is not that of this machine."""
        return Activity(self.phase, self.step, 0.0)

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


@dataclass(frozen=True)
class Seen:
    """The newest beat of a worker, and how long ago it arrived, in seconds."""

    beat: Beat
    ago_s: float

    @property
    def unchanged_s(self) -> float:
        """Since the worker is known to have begun its activity."""
        return self.ago_s + self.beat.seconds
