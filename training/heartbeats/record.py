"""The heartbeat of a process of a run: its newest sign of life, as the run folder keeps it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter

from training.processes.signs_of_life import Beat, Seen


class End(StrEnum):
    """How a process of a run has ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    HUNG = "hung"


@dataclass(frozen=True)
class Heartbeat:
    """What a process has last reported.

    Attributes:
        size: number of processes of the run.
        start: equal in all processes that were started together, and in no others; see :func:`start_name`.
        restart: how often torchrun has restarted the processes before.
        began: when the process began to train, in seconds since 1970 by its own clock.
        process: of the machine that it runs on: see :func:`core.host.process_identity`.
        thread: identifier of the thread that trains.
        end: how it has ended; None while it runs, and where it was killed.
        message: of the error that it ended with.
    """

    beat: Beat
    size: int
    start: str
    began: float
    process: str
    thread: int
    restart: int = 0
    end: End | None = None
    message: str = ""


@dataclass(frozen=True)
class Frame:
    """A place in Python code that a thread is at.

    Attributes:
        file: from the folder on that Python imports it from.
        is_library: whether it belongs to Python or an installed package.
    """

    file: str
    line: int
    function: str
    is_library: bool = False

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


@dataclass(frozen=True)
class Report:
    """A heartbeat as it was read.

    Attributes:
        ago_s: since it was written, in seconds.
        frames: of the thread that trains, the innermost first; none where no stacks were written, or the
            process has progressed since.
        stacks: path of the file with the stacks of all its threads, if there is one.
    """

    heartbeat: Heartbeat
    ago_s: float
    frames: tuple[Frame, ...] = ()
    stacks: str | None = None

    @property
    def rank(self) -> int:
        """Of the process."""
        return self.heartbeat.beat.rank

    @property
    def seen(self) -> Seen:
        """The same as a launcher knows it."""
        return Seen(self.heartbeat.beat, self.ago_s)

    @property
    def is_stuck(self) -> bool:
        """Whether the process has not progressed for longer than it may, or is silent for as long."""
        allowed = self.heartbeat.beat.allowed_s
        return self.heartbeat.end is None and allowed is not None and self.seen.unchanged_s >= allowed


@dataclass(frozen=True)
class Hang:
    """A hang that ended the processes of a run.

    Attributes:
        start: of the processes: see :class:`Heartbeat`.
        step: the furthest one that a process has begun.
        ranks: those that the others waited for; all, where that is not known.
        message: one line that names them, and what they did.
    """

    start: str
    time: float
    step: int
    ranks: tuple[int, ...]
    message: str


HEARTBEAT, HANG = TypeAdapter(Heartbeat), TypeAdapter(Hang)


def start_name(launch: int | None, environment: Mapping[str, str]) -> str:
    """A name that processes have in common if they were started together, from what their launcher sets.

    Args:
        launch: its number in the run folder, if the launcher has registered one.
    """
    if "RANK" not in environment:
        return f"alone {os.getpid()} {uuid.uuid4().hex[:8]}"
    address = f"{environment.get('MASTER_ADDR', '')}:{environment.get('MASTER_PORT', '')}"
    restarts = (environment.get(name, "0") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))
    return " ".join([str(launch or 0), address, *restarts])
