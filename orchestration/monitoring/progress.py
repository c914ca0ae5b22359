"""Progress of jobs, one look for every verb: bars on a terminal, otherwise a line every half minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from orchestration.monitoring.progress_lines import LINE_EVERY_S, ProgressLines, duration
from orchestration.monitoring.training_progress import TrainingProgress

BAR_WIDTH = 30

Count = Callable[[int, int], None]


def progress_bar(console: Console) -> Progress:
    """A bar with a count, a line of figures and the time left; the time taken once it is full."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=BAR_WIDTH),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        _TimeColumn(),
        console=console,
        speed_estimate_period=120,
    )


@contextmanager
def counting(console: Console, title: str, every_s: float = LINE_EVERY_S) -> Iterator[Count]:
    """A function to call with (done, total), the shape of every counting callback in this code.

    The bar appears with the first call, so that an error before that is printed alone. Where no terminal
    displays it, a line is printed every ``every_s`` seconds and one at the end.
    """
    if not console.is_terminal:
        with ProgressLines(console, title, every_s) as lines:
            yield _CountedLines(lines)
        return
    bar = progress_bar(console)
    try:
        yield _CountedBar(bar, bar.add_task(title, total=None, figures=""))
    finally:
        if bar.live.is_started:
            bar.stop()


class TrainingDisplay:
    """Displays :class:`TrainingProgress`: step, loss, clips/s, time left; it appears with the first."""

    def __init__(self, console: Console, title: str, every_s: float = LINE_EVERY_S) -> None:
        self._display: _TrainingBar | _TrainingLines
        if console.is_terminal:
            self._display = _TrainingBar(console, title)
        else:
            self._display = _TrainingLines(ProgressLines(console, title, every_s))

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def __call__(self, progress: TrainingProgress) -> None:
        """Display a new state."""
        self._display.update(progress)


class _CountedBar:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        self._bar.start()


class _CountedLines:
    def __init__(self, lines: ProgressLines) -> None:
        self._lines, self._pace = lines, _Pace()

    def __call__(self, done: int, total: int) -> None:
        self._lines.update(f"{done} of {total}{self._pace.left(done, total)}")


class _TrainingBar:
    def __init__(self, console: Console, title: str) -> None:
        self._bar, self._title = progress_bar(console), title
        self._task: TaskID | None = None

    def start(self) -> None:
        """Nothing is displayed before the first state."""

    def stop(self) -> None:
        if self._task is not None:
            self._bar.stop()

    def update(self, progress: TrainingProgress) -> None:
        if self._task is None:
            self._task = self._bar.add_task(self._title, total=progress.steps, figures="starting")
            self._bar.start()
        elif progress.resumed:
            self._bar.reset(self._task, completed=progress.step, figures="resumed")
        elif progress.loss is None:
            self._bar.update(self._task, completed=progress.step)
        else:
            self._bar.update(self._task, completed=progress.step, figures=_figures(progress))


class _TrainingLines:
    def __init__(self, lines: ProgressLines) -> None:
        self._lines, self._pace = lines, _Pace()
        self._figures = ""

    def start(self) -> None:
        self._lines.__enter__()

    def stop(self) -> None:
        self._lines.__exit__(None, None, None)

    def update(self, progress: TrainingProgress) -> None:
        if progress.resumed:
            self._pace, self._figures = _Pace(), ", resumed"
        elif progress.loss is not None:
            self._figures = f", {_figures(progress)}"
        left = self._pace.left(progress.step, progress.steps)
        self._lines.update(f"step {progress.step} of {progress.steps}{self._figures}{left}")


class _Pace:
    """The time left at the pace since the first call."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, done: int, total: int) -> str:
        """As ", 0:01:30 left"; empty before anything was done, and at the end."""
        now = time.monotonic()
        began, before = self._first = self._first or (now, done)
        if not before < done < total:
            return ""
        return f", {duration((now - began) * (total - done) / (done - before))} left"


class _TimeColumn(ProgressColumn):
    """Time left, or taken by a finished task."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        if task.finished_time is not None:
            return Text(f"in {duration(task.finished_time)}")
        return Text("" if task.time_remaining is None else f"{duration(task.time_remaining)} left")


def _figures(progress: TrainingProgress) -> str:
    speed = "" if progress.clips_per_s is None else f"  {progress.clips_per_s:.1f} clips/s"
    return f"loss {progress.loss:.4f}{speed}"
