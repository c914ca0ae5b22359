"""The demo's progress display: one bar over all steps with the time left, one inside the current step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from core.repeating import Repeating
from orchestration.monitoring.progress import BAR_WIDTH, counting

TICK_S = 0.5
# Most of a step's bar that may be filled before the step ends: a late step never looks finished.
FULLEST = 0.97


class DemoProgress:
    """A bar over all steps. Time left = expected seconds of the remaining work at the pace so far.

    ``expected_seconds``: of each step on two cores. On a console that is no terminal, one line per step is
    printed instead of bars.
    """

    def __init__(self, console: Console, expected_seconds: Sequence[float]) -> None:
        self.console = console
        self._expected = list(expected_seconds)
        self._taken: list[float | None] = [None] * len(expected_seconds)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("demo", total=sum(expected_seconds), left="")
        self._current: tuple[int, float] | None = None
        self._ticking = Repeating(self._tick, TICK_S, "overall progress")

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
            self._ticking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticking.stop()
        if self.console.is_terminal:
            self._bar.stop()

    def warn(self, message: str) -> None:
        """Print a line about something that did not stop the work."""
        self.console.print(message, style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def step(self, number: int, title: str) -> Iterator[None]:
        """Mark step ``number`` (from 0) as the current one."""
        label = f"step {number + 1} of {len(self._expected)}"
        self._bar.update(self._task, description=f"{label}: {title}")
        if not self.console.is_terminal:
            left = _minutes(self.seconds_left(number, 0))
            self.console.print(f"{label}: {title} ({left})", markup=False, soft_wrap=True)
        began = time.monotonic()
        self._current = (number, began)
        yield
        self._current = None
        self._taken[number] = time.monotonic() - began
        self._bar.update(self._task, completed=sum(self._expected[: number + 1]))

    @contextmanager
    def counting(self, title: str, visible: bool = True) -> Iterator[Callable[[int, int], None]]:
        """The bar inside a step, driven by calls (done, total); invisible where the step is already done."""
        if not visible:
            yield lambda done, total: None
            return
        with counting(self.console, f"  {title}") as task:
            yield task

    def seconds_left(self, number: int, elapsed: float) -> float:
        """Estimate when step ``number`` has run for ``elapsed`` seconds."""
        pace = self._pace(number, elapsed)
        current = max(self._expected[number] * pace - elapsed, (1 - FULLEST) * self._expected[number] * pace)
        return current + sum(self._expected[number + 1 :]) * pace

    def _pace(self, number: int, elapsed: float) -> float:
        """Seconds taken per expected second, from the steps that this call ran."""
        pairs = [
            (taken, expected)
            for taken, expected in zip(self._taken, self._expected, strict=True)
            if taken is not None and taken > expected / 10
        ]
        if elapsed > self._expected[number]:
            pairs.append((elapsed, self._expected[number]))
        # One expected minute of prior keeps the first short steps from swinging the estimate.
        return (60 + sum(taken for taken, _ in pairs)) / (60 + sum(expected for _, expected in pairs))

    def _tick(self) -> None:
        current = self._current
        if current is None:
            return
        number, began = current
        elapsed = time.monotonic() - began
        share = min(elapsed / (self._expected[number] * self._pace(number, elapsed)), FULLEST)
        done = sum(self._expected[:number]) + share * self._expected[number]
        self._bar.update(self._task, completed=done, left=_minutes(self.seconds_left(number, elapsed)))


def _minutes(seconds: float) -> str:
    return f"about {max(1, round(seconds / 60))} min left" if seconds > 50 else "less than a minute left"
