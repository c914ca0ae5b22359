"""The live table of an ingest; on a console that is no terminal, a line every half minute."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestration.monitoring.progress import BAR_WIDTH
from orchestration.monitoring.progress_lines import ProgressLines, duration

if TYPE_CHECKING:
    from pipelines.ingest import IngestProgress

REFRESHES_PER_S = 2
REASONS_LISTED = 6


class IngestDisplay:
    """Displays the newest state. Use it as a context manager around the job."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._state: IngestProgress | None = None
        self._began = self._updated = time.monotonic()
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=REFRESHES_PER_S)
        self._lines = ProgressLines(console, title)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._lines.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._lines.__exit__(kind, value, trace)

    def __call__(self, state: IngestProgress) -> None:
        """Take a new state."""
        self._state, self._updated = state, time.monotonic()
        self._lines.update(line_of(state))

    def _table(self) -> RenderableType:
        state = self._state
        if state is None:
            return Text(f"{self._title}  {self._elapsed()}  first units in progress")
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(state.total_rows, state.rows, width=BAR_WIDTH)
        rows = f"{state.rows}/{state.total_rows} rows"
        head.add_row(self._title, bar, rows, self._elapsed(), self._left(state))
        figures = Table.grid(padding=(0, 2))
        for _ in range(2):
            figures.add_column(justify="right")
        figures.add_row("rows", f"{state.rows}", f"{state.rows_per_s:.1f}/s")
        figures.add_row("clips", f"{state.samples}", f"{state.samples_per_s:.1f}/s")
        figures.add_row("MB", f"{state.bytes / 1e6:.1f}", f"{state.bytes_per_s / 1e6:.2f}/s")
        figures.add_row("rejected", f"{state.rejected}", reasons_of(state))
        return Group(head, figures)

    def _elapsed(self) -> str:
        return duration(time.monotonic() - self._began)

    def _left(self, state: IngestProgress) -> str:
        if state.seconds_left is None:
            return "left –"
        return f"left {duration(max(0.0, state.seconds_left - (time.monotonic() - self._updated)))}"


def line_of(state: IngestProgress) -> str:
    """The state as one line of text."""
    left = "" if state.seconds_left is None else f", {duration(state.seconds_left)} left"
    reasons = f" ({reasons_of(state)})" if state.rejected else ""
    return (
        f"{state.rows} of {state.total_rows} rows, {state.samples} clips, {state.rejected} rejected{reasons}"
        f"; {state.rows_per_s:.1f} rows/s, {state.samples_per_s:.1f} clips/s, "
        f"{state.bytes_per_s / 1e6:.2f} MB/s{left}"
    )


def reasons_of(state: IngestProgress) -> str:
    """The most frequent reasons for rejections, with their counts."""
    ordered = sorted(state.reasons.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{reason} {count}" for reason, count in ordered[:REASONS_LISTED]]
    more = len(ordered) - len(listed)
    return ", ".join([*listed, f"{more} more"] if more else listed)
