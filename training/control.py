"""Between a process of a run and what started it: what the process is doing, and the request to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

from core.signals import SignalExit

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What schedulers send some time before they end a job, as Slurm does for `--signal=B:USR1@120`.
WARNING_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
# In place of a signal, and winning over signals of other processes: a machine of the run is about to be
# withdrawn; a later run has taken over the run folder.
PREEMPTED, SUPERSEDED = 999, 1000
# Least time without progress that counts as a hang in a phase that is not a step of an attempt that trains:
# reading weights, saving, validation. So long does none of them take without a sign of progress.
OTHER_WORK_S = 1800.0
# So many times the longest such phase is no hang yet.
LONGEST_TIMES = 3
# By torch's default, collective operations fail after this time.
_COLLECTIVE_S = 1800.0


class Phase(IntEnum):
    """What a process does, in the order of the phases within a step."""

    STARTING = 0
    LOADING_WEIGHTS = 1
    READING_CHECKPOINT = 2
    WAITING_FOR_DATA = 3
    TRAINING = 4
    SAVING_CHECKPOINT = 5
    MEASURING_LOSS = 6
    DRAWING_SAMPLES = 7
    WRITING_BUNDLE = 8
    UPLOADING = 9

    @property
    def words(self) -> str:
        """As text, for messages."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Activity:
    """What a process is doing.

    Attributes:
        step: that the phase belongs to; 0 before the first.
        since: when it began, in seconds of ``time.monotonic``.
        part: of the phase, as ``backward``; empty where it has none.
        parts: that the phase has begun so far.
    """

    phase: Phase
    step: int
    since: float
    part: str = ""
    parts: int = 0

    def __str__(self) -> str:
        part = f", {self.part}" if self.part and self.phase is Phase.TRAINING else ""
        words = f"{self.phase.words}{part}"
        return f"{words} (step {self.step})" if self.step else words


_OF_STEPS = (Phase.WAITING_FOR_DATA, Phase.TRAINING)


def is_warning(signum: int) -> bool:
    """Whether the run is stopped because its processors are about to be withdrawn: its launcher should start
    it again, here or elsewhere."""
    return signum == PREEMPTED or signum in WARNING_SIGNALS


def stop_name(signum: int) -> str:
    """What asked a run to stop, for messages: the name of a signal, or a notice."""
    return "a notice of preemption" if signum == PREEMPTED else signal.Signals(signum).name


class StoppedBySignal(SignalExit):
    """A run that a signal ended. Resuming loses nothing that was recorded.

    After a warning the exit code is EX_TEMPFAIL, 75, by which launchers and batch scripts start it again.

    Attributes:
        step: the run resumes after this one; 0 where it has no checkpoint, None where it was stopped at once.
    """

    def __init__(self, signum: int, step: int | None) -> None:
        super().__init__(signum, os.EX_TEMPFAIL if is_warning(signum) else None)
        self.step = step

    @property
    def name(self) -> str:
        """Of the signal, as SIGTERM, or of the notice."""
        return stop_name(self.signal)

    def __str__(self) -> str:
        if self.step is None:
            return f"stopped by {self.name}: the same command resumes from the newest checkpoint"
        kept = f"the checkpoint of step {self.step} is written" if self.step else "nothing was trained yet"
        return f"stopped by {self.name}: {kept}; the same command resumes"

    def __reduce__(self) -> tuple[type[StoppedBySignal], tuple[int, int | None]]:
        return StoppedBySignal, (self.signal, self.step)


def collective_timeout_s(hang_s: float | None) -> float:
    """After how many seconds collective operations fail: so late that a hang is named before."""
    return _COLLECTIVE_S if hang_s is None else max(_COLLECTIVE_S, 2 * hang_s + 600)


class RunControl:
    """What a process is doing, and whether it should stop: read and set by any thread."""

    def __init__(self, on_hang: Callable[[int, str], None] | None = None) -> None:
        """``on_hang``: called in a thread with a rank and what it does, where the run hangs, just before the
        process ends itself; in one process."""
        self._on_hang = on_hang
        self._began = time.monotonic()
        self._activity = Activity(Phase.STARTING, 0, self._began)
        self._longest_s: dict[Phase, float] = {}
        self._signal = 0
        self._begun = threading.Event()
        self._on_enter: list[Callable[[], None]] = []

    def wait_for_first_step(self) -> None:
        """Wait until the process begins its first step."""
        self._begun.wait()

    @property
    def activity(self) -> Activity:
        """What the process is doing now: another object as soon as it has progressed."""
        return self._activity

    @property
    def longest_step_s(self) -> float:
        """The longest time that training on a batch has taken, in seconds."""
        return self._longest_s.get(Phase.TRAINING, 0.0)

    @property
    def stop_signal(self) -> int:
        """The signal that asked the process to stop, PREEMPTED or SUPERSEDED; 0 for none."""
        return self._signal

    def on_enter(self, act: Callable[[], None]) -> None:
        """Call ``act`` whenever the process begins a phase that is not of every step."""
        self._on_enter.append(act)

    def enter(self, phase: Phase, step: int = 0) -> None:
        """The process begins a phase."""
        before, now = self._activity.phase, time.monotonic()
        self._longest_s[before] = max(self._longest_s.get(before, 0.0), now - self._began)
        self._began = now
        self._activity = Activity(phase, step, now)
        if phase is Phase.WAITING_FOR_DATA:
            self._begun.set()
        logger.log(logging.DEBUG if phase in _OF_STEPS else logging.INFO, "%s", self._activity)
        if phase not in _OF_STEPS:
            for act in self._on_enter:
                act()

    def progress(self, part: str) -> None:
        """The process begins a part of its phase, as the forward pass of a step, or one of many samples."""
        now, parts = self._activity, self._activity.parts + 1
        self._activity = Activity(now.phase, now.step, time.monotonic(), part, parts)

    def allowed_s(self, hang_s: float, waits: Mapping[Phase, float]) -> float | None:
        """For how long the present activity may last before it counts as a hang, in seconds; None: uploads
        end by themselves, after the time for which they are tried again.

        Args:
            hang_s: least time within a step. Until the first step is done, which may compile what it runs,
                and in other phases it is at least ``OTHER_WORK_S``.
            waits: for how many seconds besides a store is asked again in a phase.
        """
        phase = self._activity.phase
        if phase is Phase.UPLOADING:
            return None
        is_step = phase in _OF_STEPS and Phase.TRAINING in self._longest_s
        least = hang_s if is_step else max(hang_s, OTHER_WORK_S)
        allowed = max(least, LONGEST_TIMES * self._longest_s.get(phase, 0.0))
        return allowed + waits.get(phase, 0.0)

    def report_hang(self, rank: int, message: str) -> None:
        """Report to what has started the process that the run hangs, and the process that it waits for."""
        if self._on_hang is not None:
            self._on_hang(rank, message)

    def request_stop(self, signum: int) -> None:
        """Ask all processes to stop after the step in progress, with a checkpoint.

        Args:
            signum: a signal, or PREEMPTED.
        """
        if not self._signal:
            logger.info("%s: stopping after this step", stop_name(signum))
            self._signal = signum

    def supersede(self) -> None:
        """Ask all processes to stop after the step in progress, without writing anything."""
        self._signal = SUPERSEDED

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Inside, the signals above request a stop, in the main thread of a process.

        A signal that is ignored, as under nohup, stays ignored. Repeated signals change nothing: launchers
        and terminals often deliver one twice.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(signum: int, frame: FrameType | None) -> None:
            self.request_stop(signum)

        before = {signum: signal.getsignal(signum) for signum in (*STOP_SIGNALS, *WARNING_SIGNALS)}
        handled = [signum for signum, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        for signum in handled:
            signal.signal(signum, handle)
        try:
            yield
        finally:
            for signum in handled:
                signal.signal(signum, before[signum])
