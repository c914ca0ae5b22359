"""Telling trackers what the journal says, without ever holding up the run.

The journal file itself is the queue: each tracker has one thread that reads on from where it got to, so
memory stays bounded and nothing is dropped however long a tracker is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.lock import LockedError, file_lock
from orchestration.tracking.backends import Backend, MlflowBackend, Outcome, WandbBackend
from orchestration.tracking.run import Delivery, MirrorState, Point, TrackedRun
from training.journal import JournalEntry, follow_journal

logger = logging.getLogger(__name__)
POLL_S = 2.0
RETRY_FIRST_S = 4.0
RETRY_MOST_S = 120.0
CLOSE_GRACE_S = 30.0


@dataclass(frozen=True)
class SyncReport:
    """What one tracker got in a replay. ``error`` is None when it has everything."""

    backend: str
    target: str
    points: int
    samples: int
    error: str | None


def backends_for(mlflow_uri: str, wandb_mode: str, project: str) -> list[Backend]:
    """The trackers a configuration asks for."""
    backends: list[Backend] = [MlflowBackend(mlflow_uri)]
    if wandb_mode in ("online", "offline"):
        backends.append(WandbBackend("online" if wandb_mode == "online" else "offline", project))
    return backends


class Feed:
    """One tracker's side of a run: reads on from the saved offset, delivers, saves the offset."""

    def __init__(self, run: TrackedRun, backend: Backend) -> None:
        self.run, self.backend = run, backend
        self.points = self.samples = 0
        self._state_path = MirrorState.path(run.folder, backend.name, backend.target)
        self._state = MirrorState.load(self._state_path, backend.target)
        self._open = False
        self._lock, self._locked = ExitStack(), False

    def pump(self) -> bool:
        """Deliver one batch of what is new; True if there was something. Raises what the tracker raises."""
        self._take_lock()
        entries, offset = follow_journal(self.run.journal, self._state.offset)
        if offset == self._state.offset:
            return False
        if not self._open:
            self._state.run_id = self.backend.open(self.run, self._state.run_id)
            self._state.save(self._state_path)
            self._open = True
        if not self._state.described and self.run.config():
            self.backend.describe(self.run)
            self._state.described = True
        delivery, told = _digest(self.run.folder, entries, self._state.told)
        self.backend.deliver(delivery)
        self._state.offset, self._state.told = offset, told
        self._state.save(self._state_path)
        self.points += len(delivery.points)
        self.samples += len(delivery.samples)
        return True

    def close(self, outcome: Outcome) -> None:
        try:
            if self._open:
                self.backend.close(outcome)
        finally:
            self._open = self._locked = False
            self._lock.close()

    def _take_lock(self) -> None:
        """A run that is mirrored live must not be replayed by `animatic sync` at the same time."""
        if not self._locked:
            self._lock.enter_context(file_lock(self._state_path.with_suffix(".lock"), timeout_s=0))
            self._locked = True


class Mirror:
    """Mirrors a live run to its trackers from the launching process, one daemon thread for each."""

    def __init__(self, run: TrackedRun, backends: Sequence[Backend], poll_s: float = POLL_S) -> None:
        self._stop = threading.Event()
        self._outcome: Outcome = "finished"
        self._poll_s = poll_s
        self._feeds = [Feed(run, backend) for backend in backends]
        self._failing: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(feed,), name=f"mirror-{feed.backend.name}", daemon=True)
            for feed in self._feeds
        ]
        for thread in self._threads:
            thread.start()

    def close(self, outcome: Outcome, grace_s: float = CLOSE_GRACE_S) -> list[str]:
        """Let the trackers catch up for at most ``grace_s`` seconds; names those that are still behind."""
        self._outcome = outcome
        self._stop.set()
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        slow = {f.backend.name for f, t in zip(self._feeds, self._threads, strict=True) if t.is_alive()}
        return sorted(slow | set(self._failing))

    def _work(self, feed: Feed) -> None:
        name, pause = feed.backend.name, RETRY_FIRST_S
        while True:
            ending = self._stop.is_set()
            try:
                while feed.pump():
                    pass
                self._failing.pop(name, None)
                pause = RETRY_FIRST_S
            except Exception as error:
                # A tracker may fail in any way it likes; it must not reach the run.
                logger.info("%s failed: %s", name, error, exc_info=True)
                self._failing[name] = _one_line(error)
            if ending or (name in self._failing and self._stop.wait(pause)):
                break
            if name in self._failing:
                pause = min(pause * 2, RETRY_MOST_S)
            else:
                self._stop.wait(self._poll_s)
        self._finish(feed)

    def _finish(self, feed: Feed) -> None:
        try:
            feed.close(self._outcome)
        except Exception as error:
            logger.info("%s did not close: %s", feed.backend.name, error, exc_info=True)
            self._failing[feed.backend.name] = _one_line(error)


def behind_remark(trackers: Sequence[str], folder: Path) -> str:
    """What to tell the user of a run in ``folder`` whose :meth:`Mirror.close` named ``trackers``."""
    return f"{', '.join(trackers)} did not get everything; `animatic sync {folder}` delivers the rest"


def sync(folder: Path, project: str, backends: Sequence[Backend]) -> list[SyncReport]:
    """Replay a run's journal to every tracker, from where each got to; what was told is not told again."""
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
            logger.info("%s failed: %s", backend.name, error, exc_info=True)
            problem = _one_line(error)
        reports.append(SyncReport(backend.name, backend.target, feed.points, feed.samples, problem))
    return reports


def _digest(
    folder: Path, entries: Sequence[JournalEntry], told: dict[str, int]
) -> tuple[Delivery, dict[str, int]]:
    """What ``entries`` say that has not been told, and the marks that hold once they are delivered."""
    delivery, told = Delivery(), dict(told)
    for entry in entries:
        for key, value in entry.metrics.items():
            if entry.step > told.get(key, -1):
                told[key] = entry.step
                delivery.points.append(Point(key, value, entry.step, entry.time))
        if entry.event == "sample":
            path = folder / str(entry.content.get("path", ""))
            if path.is_file():
                delivery.samples.append((entry.step, path, str(entry.content.get("prompt", ""))))
        delivery.tags.update(_tags(entry))
        delivery.started |= entry.event in ("start", "resume")
        delivery.ended = entry.event == "end" or (delivery.ended and entry.event not in ("start", "resume"))
    return delivery, told


def _tags(entry: JournalEntry) -> dict[str, str]:
    """Checkpoints and bundles are told as places and digests; their bytes never pass through a tracker."""
    fields = {"start": ("config_hash",), "checkpoint": ("uri", "digest"), "bundle": ("path", "id")}
    names = fields.get(entry.event, ())
    prefix = "" if entry.event == "start" else f"{entry.event}."
    tags = {f"{prefix}{name}": str(entry.content[name]) for name in names if name in entry.content}
    if entry.event == "checkpoint":
        tags["checkpoint.step"] = str(entry.step)
    return tags


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
