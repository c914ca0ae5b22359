"""One tracker's side of a run: read on from the saved offset, deliver, save the offset."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.lock import LockedError, file_lock
from core.urls import without_credentials
from orchestration.tracking.backends import Backend, Outcome
from orchestration.tracking.run import Delivery, MirrorState, Point, SampleFile, TrackedRun
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

    def __init__(self, run: TrackedRun, backend: Backend) -> None:
        self.run, self.backend = run, backend
        self.points = self.samples = 0
        self._state_path = MirrorState.path(run.folder, backend.name, backend.target)
        self._state = MirrorState(target=backend.target)
        self._loaded = self._open = False
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
            return False
        if not self._open and self._connect():
            return True
        if not self._state.described and self.run.config():
            self.backend.describe(self.run)
            self._state.described = True
        delivery, delivered = _delivery(self.run.folder, entries, self._state.delivered)
        self.backend.deliver(delivery)
        self._state.offset, self._state.delivered = offset, delivered
        self._state.rows += delivery.rows
        self._state.save(self._state_path)
        self.points += len(delivery.points)
        self.samples += len(delivery.samples)
        return True

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


def sync(folder: Path, project: str, backends: Sequence[Backend]) -> list[SyncReport]:
    """Replay a run's journal to every tracker, each from its own offset."""
    reports = []
    for backend in backends:
        feed = Feed(TrackedRun.of(folder, project), backend)
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


def one_line(error: Exception) -> str:
    """Type and message of an error in at most 300 characters, without passwords."""
    return without_credentials(" ".join(f"{type(error).__name__}: {error}".split()))[:300]


def _delivery(
    folder: Path, entries: Sequence[JournalEntry], delivered: dict[str, int]
) -> tuple[Delivery, dict[str, int]]:
    """What is new in ``entries``, and the last step of each metric once that is delivered."""
    delivery, delivered = Delivery(), dict(delivered)
    for entry in entries:
        for key, value in entry.metrics.items():
            if entry.step > delivered.get(key, -1):
                delivered[key] = entry.step
                delivery.points.append(Point(key, value, entry.step, entry.time))
        if entry.event == "sample":
            path = folder / str(entry.content.get("path", ""))
            if path.is_file():
                prompt = str(entry.content.get("prompt", ""))
                delivery.samples.append(SampleFile(entry.step, path, prompt))
        delivery.tags.update(_tags(entry))
        delivery.started |= entry.event in ("start", "resume")
        delivery.ended = entry.event == "end" or (delivery.ended and entry.event not in ("start", "resume"))
    return delivery, delivered


def _tags(entry: JournalEntry) -> dict[str, str]:
    """Checkpoints and bundles are recorded by path and digest; trackers never receive their bytes."""
    fields = {"start": ("config_hash",), "checkpoint": ("uri", "digest"), "bundle": ("path", "id")}
    names = fields.get(entry.event, ())
    prefix = "" if entry.event == "start" else f"{entry.event}."
    tags = {f"{prefix}{name}": str(entry.content[name]) for name in names if name in entry.content}
    if entry.event == "checkpoint":
        tags["checkpoint.step"] = str(entry.step)
    return tags
