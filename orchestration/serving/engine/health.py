"""Whether the device thread is alive and gets on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.errors import AnimaticError
from orchestration.serving.engine.timings import Timings

# Without a measured step, what a first one may take: loading kernels, a large network on a slow CPU.
_FIRST_S = 900.0
_LEAST_S = 180.0
_LONGEST_STEPS = 20


class EngineError(AnimaticError):
    """A replica that cannot go on; Ray Serve replaces it."""


class Pulse:
    """The time of the device thread's last sign of life, and why it gave up, if it did."""

    def __init__(
        self, timings: Timings, clock: Callable[[], float] = time.monotonic, *, compiles: bool = False
    ) -> None:
        """``compiles``: whether a step of any new shape may compile the network before."""
        self._timings, self._clock = timings, clock
        self._least_s = _FIRST_S if compiles else _LEAST_S
        self._lock = threading.Lock()
        self._last, self._failure = clock(), ""

    def beat(self) -> None:
        """The device thread got on."""
        with self._lock:
            self._last = self._clock()

    def fail(self, reason: str) -> None:
        """The replica cannot go on; the first reason counts."""
        with self._lock:
            self._failure = self._failure or reason

    @property
    def failed(self) -> bool:
        """Whether :meth:`fail` was called."""
        with self._lock:
            return bool(self._failure)

    def check(self) -> None:
        """Raise EngineError after a failure, or if the last sign of life is too long ago.

        That is 20 times the longest step that was measured, and 3 minutes at least; 15 without one, or where
        the network is compiled.
        """
        with self._lock:
            silent_s, failure = self._clock() - self._last, self._failure
        if failure:
            raise EngineError(failure)
        step_s = self._timings.longest_step()
        limit_s = _FIRST_S if step_s is None else max(self._least_s, _LONGEST_STEPS * step_s)
        if silent_s > limit_s:
            raise EngineError(
                f"the device thread has done nothing for {silent_s:.0f} s, {limit_s:.0f} s are allowed"
            )
