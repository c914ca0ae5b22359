"""Where the time of training steps goes."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_args

import torch
from torch.profiler import record_function

Phases = Literal["data", "encode", "forward", "backward", "optimizer", "save"]
_Kinds = Phases | Literal["other", "paused"]
Mark = TypeVar("Mark")

# Marks that a GPU may have ahead of it before those behind it are added up.
_MANY = 4096


class Timeline(Protocol[Mark]):
    """Marks moments."""

    def mark(self) -> Mark:
        """This moment."""
        ...

    def seconds(self, start: Mark, end: Mark) -> float | None:
        """Between two marks; None while the second one is ahead."""
        ...


class HostTimeline:
    """The wall clock."""

    def mark(self) -> float:
        """This moment."""
        return time.perf_counter()

    def seconds(self, start: float, end: float) -> float:
        """Between two marks."""
        return end - start


class CudaTimeline:
    """Moments at which the GPU has done what it was given until then: neither marking nor reading waits.

    Of a GPU that has nothing to do, it is the moment at which the mark is set.
    """

    def mark(self) -> torch.cuda.Event:
        """An event of the present stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float | None:
        """Between two events; None until the GPU has reached the second one."""
        return start.elapsed_time(end) / 1e3 if end.query() else None


class StepTimes(NamedTuple):
    """Seconds by phase, with ``other`` for what belongs to none, and their sum."""

    phases: dict[str, float]
    total: float


class StepClock:
    """Adds up the time of each phase of training steps. A phase inside of another counts for itself alone.

    Attributes:
        annotates: whether phases are ranges in the trace of a profiler.
    """

    def __init__(
        self, timeline: Timeline[Any] | None = None, on_phase: Callable[[str], None] | None = None
    ) -> None:
        """
        Args:
            timeline: None for the wall clock.
            on_phase: called with each phase that begins, or goes on after one inside of it.
        """
        self._on_phase = on_phase
        self.annotates = False
        self._timeline: Timeline[Any] = timeline or HostTimeline()
        self._running: list[_Kinds] = []
        self._ahead: deque[tuple[_Kinds, Any]] = deque()
        self.reset()

    @contextmanager
    def phase(self, phase: Phases) -> Iterator[None]:
        """Time inside belongs to a phase."""
        with self._inside(phase):
            if not self.annotates:
                yield
                return
            with record_function(phase):
                yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside counts for nothing, as that of validation."""
        with self._inside("paused"):
            yield

    def reset(self) -> None:
        """Begin again from zero, outside of all phases."""
        self._ahead.clear()
        self._seconds: dict[_Kinds, float] = dict.fromkeys((*get_args(Phases), "other", "paused"), 0.0)
        self._last = self._timeline.mark()

    def report(self) -> StepTimes:
        """The times since the last report; of a GPU, as far as it has come, the rest is for the next one."""
        self._pass_time()
        self._add_up()
        phases = {str(kind): seconds for kind, seconds in self._seconds.items() if kind != "paused"}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return StepTimes(phases, sum(phases.values()))

    @contextmanager
    def _inside(self, kind: _Kinds) -> Iterator[None]:
        self._pass_time()
        self._running.append(kind)
        self._notify()
        try:
            yield
        finally:
            self._pass_time()
            self._running.pop()
            self._notify()

    def _notify(self) -> None:
        if self._on_phase is not None and self._running:
            self._on_phase(self._running[-1])

    def _pass_time(self) -> None:
        """The time since the last mark belongs to the innermost phase that is running."""
        self._ahead.append((self._running[-1] if self._running else "other", self._timeline.mark()))
        if len(self._ahead) > _MANY:
            self._add_up()

    def _add_up(self) -> None:
        while self._ahead:
            kind, mark = self._ahead[0]
            seconds = self._timeline.seconds(self._last, mark)
            if seconds is None:
                return
            self._ahead.popleft()
            self._seconds[kind] += seconds
            self._last = mark
