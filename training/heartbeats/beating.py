"""The heartbeats of this process, which a thread writes to the run folder."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.fencing import Token
from core.host import process_identity
from training.control import Activity, Phase, RunControl
from training.heartbeats.folder import HeartbeatFolder
from training.heartbeats.record import End, Heartbeat, start_name
from training.heartbeats.stacks import write_stacks
from training.processes.signs_of_life import LONG_S, Beat, beat_interval_s

logger = logging.getLogger(__name__)

# Changes of the phase are written at once, but not more often than this share of the interval.
_SHORTEST = 0.25
_STEPS = 2  # of the longest, before a hang may end the process
_JOIN_S = 5.0


class Heartbeats:
    """Writes this process's heartbeat at intervals, and when it begins work that is not of every step.

    Beside it, the stacks of its threads: where it has not progressed for long, and where they are asked for.
    A folder that cannot be written to is reported once, and tried again. Once a later run has taken over the
    folder, nothing is written.
    """

    def __init__(
        self,
        control: RunControl,
        run_dir: Path,
        launch: int | None,
        hang_s: float | None,
        waits: Mapping[Phase, float],
    ) -> None:
        """Of the thread that calls, which is the one that trains.

        Args:
            launch: number of the launch that the process belongs to, if its launcher has registered one.
            hang_s: without progress for so long, processes are stuck; None: never.
            waits: for how many seconds besides a process may wait for a store, by phase.
        """
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.folder, self.rank = HeartbeatFolder(run_dir), rank
        self._control, self._hang_s, self._waits = control, hang_s, waits
        self._long_s = LONG_S if hang_s is None else min(LONG_S, hang_s / 2)
        self._heartbeat = Heartbeat(
            Beat.of(control, rank),
            size,
            start_name(launch, os.environ),
            time.time(),
            process_identity(os.getpid()),
            threading.get_ident(),
            int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        )
        self._every_s = min(beat_interval_s(size), self._long_s)
        self._token: Token | None = None
        self._wake, self._stopping, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._failing = False
        self._dumped: Activity | None = None
        self._answered: float | None = None
        self._thread = threading.Thread(target=self._repeat, name="heartbeats", daemon=True)
        control.on_enter(self._wake.set)

    @property
    def start(self) -> str:
        """Equal in all processes that were started together."""
        return self._heartbeat.start

    def begin(self) -> None:
        """Write the first heartbeat, and go on in a thread."""
        self._answered = self.folder.asked_at()  # those who asked did not mean this process
        self._beat()
        self._thread.start()

    def hold(self, token: Token) -> None:
        """The run is known to own its folder."""
        self._token = token

    def allowed_s(self) -> float | None:
        """For how long the present activity may last before it counts as a hang; None: without limit."""
        return None if self._hang_s is None else self._control.allowed_s(self._hang_s, self._waits)

    def end(self, end: End, message: str = "") -> None:
        """Write the last heartbeat."""
        self._stopping.set()
        self._wake.set()
        # Where the file system does not answer, the process ends without.
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            logger.warning("no last heartbeat: %s does not answer", self.folder.path)
            return
        self._write(replace(self._current(), end=end, message=" ".join(message.split())))

    def _repeat(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._every_s)
            self._wake.clear()
            if self._stopping.is_set():
                return
            self._beat()
            self._write_stacks_if_wanted()
            self._stopping.wait(self._every_s * _SHORTEST)

    def _beat(self) -> None:
        self._write(self._current())

    def _current(self) -> Heartbeat:
        beat = Beat.of(self._control, self.rank, self._heartbeat.beat.node, self.allowed_s())
        return replace(self._heartbeat, beat=beat)

    def _write(self, heartbeat: Heartbeat) -> None:
        try:
            if self._token is None or self._token.holds():
                self.folder.create()
                self.folder.write(heartbeat)
            self._failing = False
        except OSError as error:
            if not self._failing:
                logger.warning("no heartbeat can be written: %s", error)
            self._failing = True

    def _write_stacks_if_wanted(self) -> None:
        activity, asked = self._control.activity, self.folder.asked_at()
        unchanged = time.monotonic() - activity.since
        is_long = unchanged >= max(self._long_s, _STEPS * self._control.longest_step_s)
        is_asked = asked is not None and asked != self._answered
        if not is_asked and (not is_long or activity is self._dumped):
            return
        try:
            if self._token is not None and not self._token.holds():
                return
            write_stacks(self.folder.stacks(self.rank))
        except OSError as error:
            logger.warning("the stacks of this process cannot be written: %s", error)
            return
        self._dumped, self._answered = activity, asked
