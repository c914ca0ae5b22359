"""The state of a training run, from its journal and from the signs of life of its workers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.config import RunConfig
from training.journal import JournalEntry
from training.processes.signs_of_life import Sign


@dataclass(frozen=True)
class RunDescription:
    """What a run is known by: the name of its folder, stage and preset; and its size."""

    name: str
    stage: int
    preset: str
    steps: int
    workers: int

    @classmethod
    def of(cls, config: RunConfig, run_dir: Path) -> RunDescription:
        """That of a run in its folder."""
        return cls(
            run_dir.name, config.stage, config.preset, config.train.steps, max(config.launch.workers, 1)
        )


@dataclass(frozen=True)
class TrainingState:
    """A run as its launching process knows it. Counts begin with that process; times are seconds since 1970.

    Attributes:
        step: done, of the whole run; None before the first event.
        figures: newest metrics of the journal, by its names; NaN where they were not finite.
        data_failures: samples that could not be decoded.
        validation: newest metrics of validation, likewise.
        checkpoint_s: that writing the newest one took.
        heartbeats: the newest sign of life of each worker, by rank and host.
        stalled_s: for which the run has waited for its workers longer than it should.
    """

    run: RunDescription
    step: int | None = None
    steps_since_start: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_at: float | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    skipped: int = 0
    data_failures: int = 0
    warnings: int = 0
    rollbacks: int = 0
    hangs: int = 0
    starts: int = 0
    samples: int = 0
    started_at: float | None = None
    checkpoint_step: int | None = None
    checkpoint_at: float | None = None
    checkpoint_s: float | None = None
    heartbeats: Mapping[tuple[int, str], Sign] = field(default_factory=dict)
    stalled_s: float = 0.0

    @property
    def remaining_s(self) -> float | None:
        """At the pace of the newest figures."""
        step_s = self.figures.get("throughput/step_s")
        return None if step_s is None or self.step is None else (self.run.steps - self.step) * step_s

    def after(self, entry: JournalEntry) -> TrainingState:
        """The state once this event has been recorded."""
        # Only these go back: a checkpoint is recorded once it is written, some steps later.
        known = entry.step if self.step is None or entry.event in ("start", "resume") else self.step
        done = self.steps_since_start + max(0, entry.step - known)
        state = replace(self, step=max(entry.step, known), steps_since_start=done)
        change = _CHANGES.get(entry.event)
        return state if change is None else change(state, entry)


class StateRecorder:
    """Follows a run and passes each new state on; called from several threads."""

    def __init__(self, run: RunDescription, on_state: Callable[[TrainingState], None]) -> None:
        self._state, self._on_state = TrainingState(run), on_state
        self._lock = threading.Lock()
        on_state(self._state)

    def record(self, entry: JournalEntry) -> None:
        """Take an event of the journal."""
        with self._lock:
            self._state = self._state.after(entry)
            self._on_state(self._state)

    def watch(self, heartbeats: Mapping[tuple[int, str], Sign], stalled_s: float) -> None:
        """Take the newest signs of life, and for how long the run has waited for workers."""
        with self._lock:
            self._state = replace(self._state, heartbeats=heartbeats, stalled_s=stalled_s)
            self._on_state(self._state)


def _started(state: TrainingState, entry: JournalEntry) -> TrainingState:
    return replace(state, starts=state.starts + 1, started_at=state.started_at or entry.time)


def _metrics(state: TrainingState, entry: JournalEntry) -> TrainingState:
    figures = _figures(entry)
    failures = state.data_failures + int(figures.get("data/failures", 0))
    return replace(state, figures=figures, figures_at=entry.time, data_failures=failures)


def _validation(state: TrainingState, entry: JournalEntry) -> TrainingState:
    return replace(state, validation=_figures(entry))


def _figures(entry: JournalEntry) -> dict[str, float]:
    """The metrics of an event; NaN where they were not finite."""
    metrics = entry.content.get("metrics") or {}
    return {name: math.nan if value is None else float(value) for name, value in metrics.items()}


def _checkpoint(state: TrainingState, entry: JournalEntry) -> TrainingState:
    return replace(state, checkpoint_step=entry.step, checkpoint_at=entry.time)


def _saved(state: TrainingState, entry: JournalEntry) -> TrainingState:
    return replace(_checkpoint(state, entry), checkpoint_s=float(entry.content["seconds"]))


def _warning(state: TrainingState, entry: JournalEntry) -> TrainingState:
    # Only the warning of a skipped step names samples.
    skipped = state.skipped + ("keys" in entry.content)
    return replace(state, warnings=state.warnings + 1, skipped=skipped)


def _rollback(state: TrainingState, _: JournalEntry) -> TrainingState:
    return replace(state, rollbacks=state.rollbacks + 1)


def _hang(state: TrainingState, _: JournalEntry) -> TrainingState:
    return replace(state, hangs=state.hangs + 1)


def _sample(state: TrainingState, _: JournalEntry) -> TrainingState:
    return replace(state, samples=state.samples + 1)


_CHANGES: Mapping[str, Callable[[TrainingState, JournalEntry], TrainingState]] = {
    "start": _started,
    "resume": _checkpoint,
    "metrics": _metrics,
    "validation": _validation,
    "checkpoint": _saved,
    "warning": _warning,
    "rollback": _rollback,
    "hang": _hang,
    "sample": _sample,
}
