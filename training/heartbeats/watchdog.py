"""The watchdog of a process: where no process of the run progresses, it names the one that the others wait
for, and ends this one, so that the launcher restarts the run from its newest checkpoint.

It works while the thread that trains is stuck, in Python or in C. Where not even this thread runs, because a
library keeps Python's lock, a timer of faulthandler in C writes the stacks and ends the process.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import time
from typing import IO

from core.repeating import Repeating
from training.control import Activity, RunControl
from training.heartbeats.beating import Heartbeats
from training.heartbeats.flight_recorder import write_flight_record
from training.heartbeats.record import End, Hang
from training.heartbeats.roll_call import call_roll
from training.heartbeats.stacks import append_stacks
from training.processes.output import worker_log
from training.processes.signs_of_life import LONG_S, beat_interval_s

logger = logging.getLogger(__name__)

_LOOK_S = 2.0
# What the process that decides takes to do so, in looks and in beats; then another one decides.
_PATIENCE = 5
EXIT_CODE = os.EX_TEMPFAIL  # 75: schedulers are set to start such a job again


class Watchdog:
    """Looks at this process, and where it is stuck, at the others."""

    def __init__(self, control: RunControl, heartbeats: Heartbeats, size: int, hang_s: float) -> None:
        """``size``: number of processes; ``hang_s``: least time without progress within a step."""
        self._control, self._heartbeats = control, heartbeats
        self._every_s = min(_LOOK_S, hang_s / 4)
        self._long_s = min(LONG_S, hang_s / 2)
        self._patience_s = _PATIENCE * max(self._every_s, min(beat_interval_s(size), self._long_s))
        self._activity: Activity | None = None
        self._stuck_s, self._at = 0.0, time.monotonic()
        self._timer: IO[str] | None = None
        self._repeating = Repeating(self._look_safely, self._every_s, "watchdog")

    def begin(self) -> None:
        """Look from now on, in a thread."""
        try:
            self._timer = self._heartbeats.folder.frozen(self._heartbeats.rank).open("w")
        except OSError as error:
            logger.warning("no stacks will be written where Python's lock is kept: %s", error)
        self._repeating.start()

    def end(self) -> None:
        """Look no more."""
        self._repeating.stop()
        if self._timer is not None:
            faulthandler.cancel_dump_traceback_later()
            self._timer.close()

    def _look_safely(self) -> None:
        try:
            self._look()
        except Exception:
            logger.exception("the watchdog failed")

    def _look(self) -> None:
        now = time.monotonic()
        # Time in which the whole process was suspended is not time in which it was stuck. The timer
        # in C cannot know: a process that is suspended for longer than its limit is ended when it continues.
        passed = min(now - self._at, 2 * self._every_s)
        self._at = now
        activity, allowed = self._control.activity, self._heartbeats.allowed_s()
        self._stuck_s = self._stuck_s + passed if activity is self._activity else 0.0
        self._activity = activity
        if allowed is None:
            faulthandler.cancel_dump_traceback_later()
            return
        if self._timer is not None:
            faulthandler.dump_traceback_later(allowed + self._patience_s, exit=True, file=self._timer)
        if self._stuck_s >= allowed:
            self._decide()

    def _decide(self) -> None:
        """End this process where the run hangs; the first process finds out, others follow it."""
        folder, rank = self._heartbeats.folder, self._heartbeats.rank
        hang = folder.hang()
        if hang is None or hang.start != self._heartbeats.start:
            if rank and not self._is_first_silent():
                return
            roll = call_roll(folder.read_all(), self._long_s)
            if not roll.has_hung or roll.reports[0].heartbeat.start != self._heartbeats.start:
                return
            hang = roll.hang(time.time())
            if folder.write_hang(hang):
                self._report(hang)
        self._end(hang)

    def _is_first_silent(self) -> bool:
        folder = self._heartbeats.folder
        first = folder.read(0, folder.now())
        return first is None or first.ago_s >= self._patience_s

    def _report(self, hang: Hang) -> None:
        named = hang.ranks[0] if hang.ranks else self._heartbeats.rank
        if self._heartbeats.rank:  # the log of the first process is on the terminal by itself
            print(f"error: {hang.message}", file=sys.stderr, flush=True)
        self._control.report_hang(named, hang.message)

    def _end(self, hang: Hang) -> None:
        logger.error("%s; this process ends with exit code %d", hang.message, EXIT_CODE)
        folder, rank = self._heartbeats.folder, self._heartbeats.rank
        log = worker_log(folder.run_dir, rank)
        try:
            write_flight_record(folder.flight_record(rank))
            append_stacks(log, f"stacks of process {os.getpid()}, which ends:")
        except OSError as error:
            logger.error("%s cannot be written: %s", log, error)
        self._heartbeats.end(End.HUNG, hang.message)
        logging.shutdown()
        # Neither the stuck thread nor threads of libraries can be ended otherwise.
        os._exit(EXIT_CODE)
