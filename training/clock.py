"""Where the time of training steps goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

Phases = Literal["data", "encode", "forward", "backward", "optimizer", "save"]


class StepClock:
    """Adds up the wall time of each phase. A phase inside of another one counts for itself alone."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._running: list[Phases] = []
        self._since = 0.0
        self.reset()

    @contextmanager
    def phase(self, phase: Phases) -> Iterator[None]:
        """Time inside belongs to a phase."""
        self._pass_time()
        self._running.append(phase)
        try:
            yield
        finally:
            self._pass_time()
            self._running.pop()

    def seconds(self) -> dict[str, float]:
        """Of each phase since the last :meth:`reset`."""
        return dict(self._seconds)

    def reset(self) -> None:
        """Begin again from zero."""
        self._seconds = dict.fromkeys(get_args(Phases), 0.0)

    def _pass_time(self) -> None:
        now = time.perf_counter()
        if self._running:
            self._seconds[self._running[-1]] += now - self._since
        self._since = now
