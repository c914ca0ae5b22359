"""Heartbeats and watchdog of a process, for as long as it trains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training import events
from training.control import RunControl, StoppedBySignal
from training.heartbeats.beating import Heartbeats
from training.heartbeats.folder import HeartbeatFolder
from training.heartbeats.record import End
from training.heartbeats.watchdog import Watchdog
from training.journal import Journal

__all__ = ["Heartbeats", "heartbeats", "record_hang"]


@contextmanager
def heartbeats(
    control: RunControl, run_dir: Path, hang_s: float | None, launch: int | None = None
) -> Iterator[Heartbeats]:
    """Inside, this thread trains: what it does is written to the run folder, and a hang ends the process.

    Args:
        hang_s: without progress of any process for so long, all end; None: they never do.
        launch: number of the launch that the process belongs to, if its launcher has registered one.
    """
    beating = Heartbeats(control, run_dir, launch, hang_s)
    beating.begin()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    watchdog = None if hang_s is None else Watchdog(control, beating, size, hang_s)
    if watchdog is not None:
        watchdog.begin()
    end, message = End.FINISHED, ""
    try:
        yield beating
    except StoppedBySignal as stop:
        end, message = End.STOPPED, str(stop)
        raise
    except BaseException as error:
        end, message = End.FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        if watchdog is not None:
            watchdog.end()
        beating.end(end, message)


def record_hang(run_dir: Path, journal: Journal, step: int, size: int) -> None:
    """Record in the journal what ended the processes before these, if a hang did; in the first process.

    Args:
        step: number of steps done.
        size: number of processes; what others of a larger run have left is deleted.
    """
    folder = HeartbeatFolder(run_dir)
    folder.forget_from(size)
    hang = folder.hang()
    if hang is not None:
        journal.record(step, events.HangEnded(hang.message, hang.ranks, hang.step))
        folder.forget_hang()
