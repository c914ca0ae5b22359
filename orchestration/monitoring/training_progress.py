"""Progress of a training run, read from its journal by the launching process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from core.repeating import Repeating
from training.journal import JournalEntry, follow_journal

FOLLOW_S = 0.5


@dataclass(frozen=True)
class TrainingProgress:
    """State after ``step`` of ``steps``. ``loss`` and ``clips_per_s`` are None where none was recorded.

    ``resumed``: training goes back to ``step``, that of the newest checkpoint.
    """

    step: int
    steps: int
    loss: float | None = None
    clips_per_s: float | None = None
    resumed: bool = False


class JournalFollower:
    """While entered, reports what a run of ``steps`` steps appends to its journal.

    ``on_progress`` is called at once with step 0, then for every recorded step; ``on_warning`` gets the run's
    own warnings, ``on_entry`` every event, if given. All are called from a thread, one call at a time.
    """

    def __init__(
        self,
        journal: Path,
        steps: int,
        on_progress: Callable[[TrainingProgress], None],
        on_warning: Callable[[str], None],
        on_entry: Callable[[JournalEntry], None] | None = None,
    ) -> None:
        self._journal, self._steps = journal, steps
        self._on_progress, self._on_warning, self._on_entry = on_progress, on_warning, on_entry
        # Lines of earlier, interrupted calls are not progress of this one.
        self._offset = journal.stat().st_size if journal.exists() else 0
        self._following = Repeating(self._advance, FOLLOW_S, "training progress")

    def __enter__(self) -> Self:
        self._on_progress(TrainingProgress(0, self._steps))
        self._following.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._following.stop()
        self._advance()

    def _advance(self) -> None:
        entries, self._offset = follow_journal(self._journal, self._offset)
        for entry in entries:
            if self._on_entry is not None:
                self._on_entry(entry)
            if entry.event in ("metrics", "resume", "end"):
                self._on_progress(self._progress(entry))
            elif entry.event in ("warning", "hang"):
                self._on_warning(str(entry.content.get("message", "")))

    def _progress(self, entry: JournalEntry) -> TrainingProgress:
        return TrainingProgress(
            step=entry.step,
            steps=self._steps,
            loss=entry.metrics.get("train/loss"),
            clips_per_s=entry.metrics.get("throughput/clips_per_s"),
            resumed=entry.event == "resume",
        )
