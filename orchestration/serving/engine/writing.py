"""Clips become files in the results store, in a thread of its own: the device samples on meanwhile."""

from __future__ import annotations

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import last_line
from core.retry import RetryPolicy
from core.storage import StoreError, UnavailableError
from orchestration.serving.engine.faults import fault_id
from orchestration.serving.engine.leases import RunningJob
from orchestration.serving.engine.outcomes import Outcomes
from orchestration.serving.engine.timings import Shape, Timings
from orchestration.serving.jobs import Clip, MadeBy
from orchestration.serving.results import Results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
# How long a results store may be away before the clip is given up, and its job runs again.
_PATIENCE_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class SampledClip:
    """A clip on its way to the results store.

    Attributes:
        frames: uint8 (t h w 3).
        sampled_at: end of its last step, on the monotonic clock.
    """

    running: RunningJob
    frames: NDArray[np.uint8]
    made_by: MadeBy
    shape: Shape
    sampled_at: float


class Writer:
    """Encodes, stores and completes clips in the order in which they were sampled.

    Files of a job that is not completed are left to housekeeping: a completion whose answer was lost may have
    been recorded all the same.
    """

    def __init__(self, results: Results, outcomes: Outcomes, timings: Timings, waiting: int) -> None:
        """``waiting``: clips that may wait to be written; the device waits beyond that."""
        self._results, self._outcomes, self._timings = results, outcomes, timings
        self._retry = RetryPolicy(None, 0.5, on=(UnavailableError,), most_pause_s=5.0, patience_s=_PATIENCE_S)
        self._queue: queue.Queue[SampledClip | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._write_all, name="animatic-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def put(self, clip: SampledClip, beat: Callable[[], None]) -> None:
        """Write a clip next; calls ``beat`` while it waits for room."""
        while True:
            try:
                return self._queue.put(clip, timeout=_POLL_S)
            except queue.Full:
                beat()

    def drain(self, timeout_s: float) -> bool:
        """Write what waits, and end; False if that takes longer."""
        end = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(max(0.0, end - time.monotonic()))
        return not self._thread.is_alive()

    def _write_all(self) -> None:
        while (clip := self._queue.get()) is not None:
            try:
                self._write(clip)
            except Exception:  # noqa: BLE001
                # The thread must survive whatever one clip causes; the log has the cause under the id.
                fault = fault_id()
                _log.exception("fault %s: job %s cannot be written", fault, clip.running.job.id)
                self._outcomes.failed(clip.running, "internal", f"writing the clip failed: fault {fault}")

    def _write(self, clip: SampledClip) -> None:
        running, stored = clip.running, []
        with tempfile.TemporaryDirectory(prefix="animatic-") as folder:
            for suffix in (".mp4", ".gif"):
                if not running.wanted:
                    break
                file = Path(folder) / f"clip{suffix}"
                _encode(clip.frames, file, running.job.spec.playback)
                try:
                    stored.append(self._store(clip, file))
                except UnavailableError as error:
                    _log.warning("job %s is put back: %s", running.job.id, last_line(error))
                    self._outcomes.released([running])
                    return
                except StoreError as error:
                    # The message has paths of the store, which are not the client's to see.
                    fault = fault_id()
                    _log.error("fault %s: job %s: %s", fault, running.job.id, last_line(error))
                    reason = f"the clip cannot be stored: fault {fault} in the service's log"
                    self._outcomes.failed(running, "internal", reason)
                    return
        if not running.wanted:
            self._outcomes.unwanted(running)
            return
        self._timings.finish(clip.shape, time.monotonic() - clip.sampled_at)
        self._outcomes.completed(running, clip.made_by, *stored)

    def _store(self, clip: SampledClip, file: Path) -> Clip:
        job = clip.running.job
        frames, height, width = clip.frames.shape[:3]
        # The attempt is part of the name: two replicas that both believe to have the job write two files.
        name = f"{job.id}-{job.attempt}{file.suffix}"
        stored = self._retry.call(lambda: self._results.put(name, file))
        return Clip(
            name=stored.name, sha256=stored.sha256, bytes=stored.bytes, width=width, height=height,
            frames=frames, seconds=frames / job.spec.playback,
        )  # fmt: skip


def _encode(frames: NDArray[np.uint8], file: Path, fps: float) -> None:
    """As ``animatic animate`` writes: the same bytes."""
    from orchestration.media import write_clip_file

    write_clip_file(frames, file, fps)
