"""Heartbeats and watchdog of a process, for as long as it trains."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from training import events
from training.config import RunConfig
from training.control import Phase, RunControl, StoppedBySignal
from training.heartbeats.beating import Heartbeats
from training.heartbeats.folder import HeartbeatFolder
from training.heartbeats.record import End
from training.heartbeats.watchdog import Watchdog
from training.journal import Journal

__all__ = ["Heartbeats", "heartbeats", "record_hang", "waits_of"]


def waits_of(config: RunConfig) -> Mapping[Phase, float]:
    """For how many seconds a run asks a store again that does not answer, by phase."""
    data_s = config.data.cache.patience_s
    upload_s = config.upload.patience_s if config.upload.url is not None else 0.0
    return {
        Phase.STARTING: max(data_s, upload_s),
        Phase.READING_CHECKPOINT: upload_s,
        Phase.WAITING_FOR_DATA: data_s,
    }


@contextmanager
def heartbeats(
    control: RunControl,
    run_dir: Path,
    hang_s: float | None,
    launch: int | None = None,
    waits: Mapping[Phase, float] | None = None,
) -> Iterator[Heartbeats]:
    """Inside, this thread trains: what it does is written to the run folder, and a hang ends the process.

    Args:
        hang_s: without progress of any process for so long, all end; None: they never do.
        launch: number of the launch that the process belongs to, if its launcher has registered one.
        waits: see :func:`waits_of`; None for none.
    """
    beating = Heartbeats(control, run_dir, launch, hang_s, waits or {})
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
