"""Processes of a run that are suspended: where they hang, they cannot end themselves as others do."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence

from core.host import process_identity
from training.heartbeats import Report
from training.processes.signs_of_life import Failure

# Of silence, after a hang should have ended a process.
FROZEN_S = 60.0


def end_frozen(reports: Sequence[Report]) -> Failure | None:
    """Kill the processes of this machine where all of a run are frozen; what they ended with, None if not.

    A process that was replaced by another one of its id meanwhile is left.
    """
    if not reports or not all(_is_frozen(report) for report in reports):
        return None
    alive = [report for report in reports if _is_alive(report)]
    for report in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(report.heartbeat.beat.pid, signal.SIGKILL)
    if not alive:
        return None
    beat, silent_s = alive[0].heartbeat.beat, alive[0].ago_s
    message = f"no sign of life from {beat.worker} for {silent_s:.0f} s, last {beat.activity}"
    return Failure(beat.rank, message)


def _is_frozen(report: Report) -> bool:
    """Whether a process, which ends itself where it hangs, has not done so."""
    allowed = report.heartbeat.beat.allowed_s
    if allowed is None or report.heartbeat.end is not None:
        return False
    return report.ago_s > FROZEN_S and report.seen.unchanged_s > allowed + FROZEN_S


def _is_alive(report: Report) -> bool:
    try:
        return process_identity(report.heartbeat.beat.pid) == report.heartbeat.process
    except OSError:
        return False
