"""One tracker's side of a run: read on from the saved offset, deliver, save the offset."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.lock import LockedError, file_lock
from core.urls import without_credentials
from orchestration.tracking.backends import Backend
from orchestration.tracking.delivery import delivery_of
from orchestration.tracking.facts import FACTUAL, facts_of
from orchestration.tracking.outcome import Outcome
from orchestration.tracking.run import TrackedRun
from orchestration.tracking.state import MirrorState
from training.journal import JournalEntry, follow_journal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncReport:
    """What one tracker received in a replay. ``error`` is None if it has everything."""

    backend: str
    target: str
    points: int
    samples: int
    error: str | None


class Feed:
    """Delivers the journal of one run to one tracker, in order and each value once."""

    def __init__(self, run: TrackedRun, backend: Backend, standing: Mapping[str, str] | None = None) -> None:
        """``standing``: what the ledger records of the run's bundle; None where it is not known."""
        self.run, self.backend = run, backend
        self.points = self.samples = 0
        self._standing = standing
        self._state_path = MirrorState.path(run.folder, backend.name, backend.target)
        self._state = MirrorState(target=backend.target)
        self._loaded = self._open = False
        # What other processes record, as evaluations, is looked for once.
        self._facts_changed = True
        self._lock, self._locked = ExitStack(), False

    def pump(self) -> bool:
        """Deliver one batch of new lines; False if there were none.

        Raises:
            LockedError: another process delivers this run to this tracker.
            AnimaticError: the saved position is damaged.
            Exception: whatever the tracker raises.
        """
        self._take_lock()
        if not self._loaded:
            self._state, self._loaded = MirrorState.load(self._state_path, self._state.target), True
        entries, offset = follow_journal(self.run.journal, self._state.offset)
        if offset == self._state.offset:
            self._display()
            return False
        if not self._open and self._connect():
            return True
        if not self._state.described and self.run.config():
            self.backend.describe(self.run)
            self._state.described = True
        self._deliver(entries, offset)
        return True

    def _deliver(self, entries: Sequence[JournalEntry], offset: int) -> None:
        delivery, delivered = delivery_of(self.run.folder, entries, self._state.delivered)
        self.backend.deliver(delivery)
        self._state.offset, self._state.delivered = offset, delivered
        self._state.rows += delivery.rows
        self._state.save(self._state_path)
        self.points += len(delivery.points)
        self.samples += len(delivery.samples)
        self._facts_changed |= any(entry.event in FACTUAL for entry in entries)

    def _display(self) -> None:
        """Bring tags, description and attached files up to date."""
        if not self._facts_changed:
            return
        facts = facts_of(self.run, self._standing)
        if facts.digest != self._state.facts and self._state.offset:
            if not self._open:
                self._connect()
            changes = facts.changes(self._state.attached)
            self.backend.display(facts, changes)
            self._state.facts, self._state.attached = facts.digest, changes.after(self._state.attached)
            self._state.save(self._state_path)
        self._facts_changed = False

    def close(self, outcome: Outcome) -> None:
        """Mark at the tracker how the run ended, and release the lock."""
        try:
            if self._open:
                self.backend.close(outcome)
        finally:
            self._open = False
            self.release()

    def release(self) -> None:
        """Let other processes deliver this run."""
        self._lock.close()
        self._locked = False

    def _connect(self) -> bool:
        """Open the run at the tracker; whether that has changed the position to read on from."""
        known = self._state.run_id
        # Earlier versions did not count rows; the offset is more than any count.
        found = self.backend.open(self.run, known, self._state.rows or self._state.offset)
        earlier = None if known or not self.backend.unique_ids else self._earlier_state(found)
        self._state = (earlier or self._state).model_copy(
            update={"run_id": found, "target": self.backend.target}
        )
        self._state.save(self._state_path)
        self._open = True
        return earlier is not None

    def _earlier_state(self, run_id: str) -> MirrorState | None:
        """What was saved about the same run of the tracker while that, or this folder, had another path."""
        for path in sorted(self._state_path.parent.glob(f"{self.backend.name}-*.json")):
            with contextlib.suppress(AnimaticError):
                state = MirrorState.load(path, "")
                if path != self._state_path and state.run_id == run_id:
                    return state
        return None

    def _take_lock(self) -> None:
        """A run that is mirrored live must not be replayed by `animatic sync` at the same time."""
        if not self._locked:
            self._lock.enter_context(file_lock(self._state_path.with_suffix(".lock"), timeout_s=0))
            self._locked = True


def sync(
    folder: Path, project: str, backends: Sequence[Backend], standing: Mapping[str, str] | None = None
) -> list[SyncReport]:
    """Replay a run's journal to every tracker, each from its own offset, and display what it is today.

    ``standing``: what the ledger records of the run's bundle, as text by tag.
    """
    reports = []
    for backend in backends:
        feed = Feed(TrackedRun.of(folder, project), backend, standing)
        problem = None
        try:
            while feed.pump():
                pass
            feed.close("finished")
        except LockedError:
            problem = "the run is being mirrored by another process; sync when that has ended"
        except Exception as error:
            # A tracker may fail in any way; the other trackers are served all the same.
            logger.info("%s failed: %s", backend.name, error, exc_info=True)
            problem = one_line(error)
        finally:
            feed.release()
        reports.append(SyncReport(backend.name, backend.target, feed.points, feed.samples, problem))
    return reports


def has_received(run: Path, backend: Backend) -> bool:
    """Whether the tracker has anything of a run."""
    return MirrorState.path(run, backend.name, backend.target).is_file()


def one_line(error: Exception) -> str:
    """Type and message of an error in at most 300 characters, without passwords."""
    return without_credentials(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
