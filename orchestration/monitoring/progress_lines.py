"""Progress as lines of text, for a console that is no terminal: a log, a pipe, a batch job."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console

from core.repeating import Repeating

LINE_EVERY_S = 30.0


class ProgressLines:
    """While entered, prints the newest state every half minute, changed or not, and at the end.

    Nothing is printed at the end of a job that failed before its first state: its error is the only line.
    """

    def __init__(self, console: Console, title: str, every_s: float = LINE_EVERY_S) -> None:
        self._console, self._title = console, title.strip()
        self._state: str | None = None
        self._began = self._updated = time.monotonic()
        self._printed: str | None = None
        self._lock = threading.Lock()
        self._repeating = Repeating(self._repeat, every_s, f"progress of {self._title}")

    def __enter__(self) -> Self:
        self._repeating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._repeating.stop()
        if self._state is not None and self._state != self._printed:
            self._print(self._state)

    def update(self, state: str) -> None:
        """Take a new state, for the next line."""
        with self._lock:
            self._state, self._updated = state, time.monotonic()

    def _repeat(self) -> None:
        with self._lock:
            state, updated = self._state, self._updated
        if state is None:
            self._print(f"starting, for {duration(time.monotonic() - self._began)} so far")
        elif state == self._printed:
            self._print(f"{state}; unchanged for {duration(time.monotonic() - updated)}")
        else:
            self._print(state)
            self._printed = state

    def _print(self, text: str) -> None:
        self._console.print(f"{self._title}: {text}", markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
