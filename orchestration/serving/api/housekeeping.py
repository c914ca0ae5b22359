"""The stores' housekeeping, run by every process of the API: it is idempotent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.storage import StoreError
from orchestration.serving.api.recorder import Recorder
from orchestration.serving.jobs import JobStoreError

_LOG = logging.getLogger(__name__)
# Seconds between two rounds, each of which adds the counters to the store.
_ROUND_S = 1.0


@dataclass(frozen=True)
class Task:
    """Something to be done every ``every_s`` seconds."""

    act: Callable[[], object]
    every_s: float


class Housekeeping:
    """Does tasks when they are due, and flushes the recorder each second, in a thread of its own.

    A store that does not answer, or a fault of a task, is logged and counted; the next round tries again.
    """

    def __init__(self, tasks: Sequence[Task], recorder: Recorder) -> None:
        self._flush = Task(recorder.flush, 0)
        self._tasks, self._recorder = (*tasks, self._flush), recorder
        self._due = dict.fromkeys(self._tasks, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving-housekeeping", daemon=True)
        self._failing = False

    def start(self) -> None:
        """Begin; the first round comes at once."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the round in progress, and flush the recorder a last time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._attempt(self._flush)

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            due = [task for task in self._tasks if self._due[task] <= now]
            done = [task for task in due if self._attempt(task)]
            self._due |= {task: now + task.every_s for task in done}
            if self._failing and len(done) == len(due):
                _LOG.info("housekeeping: the stores answer again")
                self._failing = False
            if self._stop.wait(_ROUND_S):
                return

    def _attempt(self, task: Task) -> bool:
        """Whether it was done."""
        try:
            task.act()
        except (JobStoreError, StoreError) as error:
            if not self._failing:
                _LOG.error("housekeeping: %s; trying again", error)
            self._failing = True
            return False
        except Exception:  # noqa: BLE001  the border of the loop: expiry and leases must go on
            _LOG.exception("housekeeping failed; trying again")
            self._recorder.fault("housekeeping")
        return True
