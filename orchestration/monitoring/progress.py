"""Progress bars: one look for every verb, and one that follows a training run's journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.journal import JournalEntry, follow_journal

BAR_WIDTH = 30
FOLLOW_S = 0.5


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
    """A bar driven by calls ``task(done, total)``, the shape of every progress callback in this code."""
    with progress_bar(console) as bar:
        yield CountingTask(bar, bar.add_task(title, total=None, figures=""))


class CountingTask:
    """Callable that moves one bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


class Repeating:
    """Calls ``act`` every ``every_s`` seconds in a thread of its own, until it is stopped."""

    def __init__(self, act: Callable[[], None], every_s: float, name: str) -> None:
        self._act, self._every_s = act, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after ``every_s``."""
        self._thread.start()

    def stop(self) -> None:
        """Return when a call under way has ended and there will be no other; nothing if not started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _repeat(self) -> None:
        while not self._stop.wait(self._every_s):
            self._act()


class JournalFollower:
    """A bar that follows a run's journal from the launching process: step, loss, clips/s, time left."""

    def __init__(self, journal: Path, steps: int, title: str, console: Console) -> None:
        self._journal, self._title, self._steps = journal, title, steps
        # What earlier, interrupted calls wrote is history, not progress of this one.
        self._offset = journal.stat().st_size if journal.exists() else 0
        self._bar = progress_bar(console)
        self._task = self._bar.add_task(title, total=steps, figures="starting")
        self._following = Repeating(self._advance, FOLLOW_S, "progress")

    def __enter__(self) -> Self:
        self._bar.start()
        self._following.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._following.stop()
        self._advance()
        self._bar.stop()

    def _advance(self) -> None:
        entries, self._offset = follow_journal(self._journal, self._offset)
        for entry in entries:
            if entry.event == "metrics":
                self._bar.update(self._task, completed=entry.step, figures=_figures(entry))
            elif entry.event == "resume":
                self._bar.reset(self._task, completed=entry.step, figures="resumed")
            elif entry.event == "warning":
                self._bar.console.print(f"{self._title}: {entry.content.get('message', '')}", style="yellow")
            elif entry.event == "end":
                self._bar.update(self._task, completed=entry.step)


def _figures(entry: JournalEntry) -> str:
    metrics = entry.metrics
    parts = []
    if "train/loss" in metrics:
        parts.append(f"loss {metrics['train/loss']:.4f}")
    if "throughput/clips_per_s" in metrics:
        parts.append(f"{metrics['throughput/clips_per_s']:.1f} clips/s")
    return "  ".join(parts)
