"""Heartbeats of runs that never were, as they are and as files."""

import os
import time
from pathlib import Path

from training.control import Phase
from training.heartbeats import End, Frame, Heartbeat, HeartbeatFolder, Report
from training.processes.signs_of_life import Beat

SLEEPING = Frame("tests/job.py", 7, "sleep")
REDUCING = Frame("torch/distributed/distributed_c10d.py", 2810, "all_reduce")


def heartbeat(
    rank: int,
    phase: Phase = Phase.TRAINING,
    step: int = 8,
    seconds: float = 1.0,
    *,
    size: int = 2,
    parts: int = 0,
    end: End | None = None,
    start: str = "1",
    allowed_s: float = 1800.0,
    process: str = "elsewhere 1 1",
    message: str = "",
) -> Heartbeat:
    """That of a process on host ``node``, with pid 100 + rank."""
    beat = Beat(rank, "", "node", 100 + rank, phase, step, seconds, 1.0, "", parts, allowed_s)
    return Heartbeat(
        beat, size, start, began=float(start), process=process, thread=1, end=end, message=message
    )


def report(rank: int, *options: object, ago_s: float = 1.0, frames: tuple = (), **named: object) -> Report:
    """A heartbeat that was read."""
    return Report(heartbeat(rank, *options, **named), ago_s, frames)


def write(run_dir: Path, written: Heartbeat, ago_s: float = 0.0) -> HeartbeatFolder:
    """Put a heartbeat into a run folder, as of ``ago_s`` seconds ago."""
    folder = HeartbeatFolder(run_dir)
    folder.create()
    folder.write(written)
    at = time.time() - ago_s
    os.utime(folder.record(written.beat.rank), (at, at))
    return folder


def write_stacks(folder: HeartbeatFolder, rank: int, *frames: str) -> None:
    """Put a file of stacks there, in faulthandler's form, whose thread 1 is at ``frames``."""
    lines = [
        "Thread 0x0000000000000002 (most recent call first):",
        '  File "/lib/other.py", line 1 in wait',
        "",
    ]
    lines += ["Current thread 0x0000000000000001 (most recent call first):", *frames]
    folder.stacks(rank).write_text("\n".join(lines) + "\n")
