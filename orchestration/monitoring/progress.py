"""Progress bars on a terminal: one look for every verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from orchestration.monitoring.training_progress import TrainingProgress

BAR_WIDTH = 30


def progress_bar(console: Console) -> Progress:
    """A bar with a count, a line of figures and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=BAR_WIDTH),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=console,
        speed_estimate_period=120,
    )


@contextmanager
def counting(console: Console, title: str) -> Iterator[CountingTask]:
    """A bar driven by calls ``task(done, total)``, the shape of every counting callback in this code.

    It appears with the first call, so that an error before that is printed alone.
    """
    bar = progress_bar(console)
    try:
        yield CountingTask(bar, bar.add_task(title, total=None, figures=""))
    finally:
        if bar.live.is_started:
            bar.stop()


class CountingTask:
    """Callable that moves one bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int) -> None:
        self._bar.start()
        self._bar.update(self._task, completed=done, total=total)


class TrainingDisplay:
    """A bar for :class:`TrainingProgress`: step, loss, clips/s, time left; it appears with the first."""

    def __init__(self, console: Console, title: str) -> None:
        self._bar, self._title = progress_bar(console), title
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._bar.stop()

    def __call__(self, progress: TrainingProgress) -> None:
        """Display a new state."""
        if self._task is None:
            self._task = self._bar.add_task(self._title, total=progress.steps, figures="starting")
            self._bar.start()
        elif progress.resumed:
            self._bar.reset(self._task, completed=progress.step, figures="resumed")
        elif progress.loss is None:
            self._bar.update(self._task, completed=progress.step)
        else:
            self._bar.update(self._task, completed=progress.step, figures=_figures(progress))


def _figures(progress: TrainingProgress) -> str:
    speed = "" if progress.clips_per_s is None else f"  {progress.clips_per_s:.1f} clips/s"
    return f"loss {progress.loss:.4f}{speed}"
