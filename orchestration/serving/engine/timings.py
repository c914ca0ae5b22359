"""How long steps and the work after them took, by shape of a batch: the time left is estimated from it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

from models.modes import Mode

# Weight of the newest measurement in the running mean.
_NEWEST = 0.3


class Shape(NamedTuple):
    """What decides how long a step takes.

    Attributes:
        version: digest of the export's manifest.
        frames: as asked for; None is the network's own number.
        passes: of the network in a step, by guidance.
        clips: in the batch.
    """

    version: str
    mode: Mode
    frames: int | None
    passes: int
    clips: int


@dataclass(frozen=True)
class _Measured:
    step_s: float
    finish_s: float | None = None


class Timings:
    """Running means of the seconds of a step and of what follows the last one; safe between threads."""

    def __init__(self) -> None:
        self._measured: dict[Shape, _Measured] = {}
        self._lock = threading.Lock()

    def step(self, shape: Shape, seconds: float) -> None:
        """Record a step of a batch."""
        with self._lock:
            known = self._measured.get(shape)
            if known is None:
                self._measured[shape] = _Measured(seconds)
            else:
                self._measured[shape] = _Measured(_mean(known.step_s, seconds), known.finish_s)

    def finish(self, shape: Shape, seconds: float) -> None:
        """Record the seconds from the last step to the stored clip, of one clip."""
        with self._lock:
            known = self._measured.get(shape)
            if known is not None:
                self._measured[shape] = _Measured(known.step_s, _mean(known.finish_s, seconds))

    def remaining(self, shape: Shape, steps_left: int) -> float | None:
        """Seconds until a batch's clips are stored; None before a step of the shape was measured."""
        with self._lock:
            known = self._measured.get(shape)
        return None if known is None else steps_left * known.step_s + (known.finish_s or 0.0) * shape.clips

    def longest_step(self) -> float | None:
        """The mean of the slowest shape, in seconds."""
        with self._lock:
            return max((known.step_s for known in self._measured.values()), default=None)


def _mean(known: float | None, newest: float) -> float:
    return newest if known is None else (1 - _NEWEST) * known + _NEWEST * newest
