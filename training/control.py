"""Between a process of a run and what started it: what the process is doing, and the request to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

from core.signals import SignalExit

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# In place of a signal: a later run has taken over the run folder. Wins over signals of other processes.
SUPERSEDED = 1000


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

    @property
    def words(self) -> str:
        """As text, for messages."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Activity:
    """What a process is doing: the phase, the step it belongs to (0 before the first), and since when, in
    seconds of ``time.monotonic``."""

    phase: Phase
    step: int
    since: float

    def __str__(self) -> str:
        return f"{self.phase.words} (step {self.step})" if self.step else self.phase.words


class StoppedBySignal(SignalExit):
    """A run that a signal ended. Resuming loses nothing that was recorded.

    Attributes:
        step: the run resumes after this one; 0 where it has no checkpoint, None where it was stopped at once.
    """

    def __init__(self, signum: int, step: int | None) -> None:
        super().__init__(signum)
        self.step = step

    def __str__(self) -> str:
        if self.step is None:
            return f"stopped by {self.name}: the same command resumes from the newest checkpoint"
        kept = f"the checkpoint of step {self.step} is written" if self.step else "nothing was trained yet"
        return f"stopped by {self.name}: {kept}; the same command resumes"

    def __reduce__(self) -> tuple[type[StoppedBySignal], tuple[int, int | None]]:
        return StoppedBySignal, (self.signal, self.step)


class RunControl:
    """What a process is doing, and whether it should stop: read and set by any thread."""

    def __init__(self) -> None:
        self._activity = Activity(Phase.STARTING, 0, time.monotonic())
        self._longest_s: float = 0.0
        self._signal = 0
        self._begun = threading.Event()

    def wait_for_first_step(self) -> None:
        """Wait until the process begins its first step."""
        self._begun.wait()

    @property
    def activity(self) -> Activity:
        """What the process is doing now."""
        return self._activity

    @property
    def longest_step_s(self) -> float:
        """The longest time that training on a batch has taken, in seconds."""
        return self._longest_s

    @property
    def stop_signal(self) -> int:
        """The signal that asked the process to stop, or SUPERSEDED; 0 for none."""
        return self._signal

    def enter(self, phase: Phase, step: int = 0) -> None:
        """The process begins a phase."""
        before, now = self._activity, time.monotonic()
        if before.phase is Phase.TRAINING:
            self._longest_s = max(self._longest_s, now - before.since)
        self._activity = Activity(phase, step, now)
        if phase is Phase.WAITING_FOR_DATA:
            self._begun.set()
        frequent = phase in (Phase.WAITING_FOR_DATA, Phase.TRAINING)
        logger.log(logging.DEBUG if frequent else logging.INFO, "%s", self._activity)

    def request_stop(self, signum: int) -> None:
        """Ask all processes to stop after the step in progress, with a checkpoint."""
        if not self._signal:
            logger.info("%s: stopping after this step", signal.Signals(signum).name)
            self._signal = signum

    def supersede(self) -> None:
        """Ask all processes to stop after the step in progress, without writing anything."""
        self._signal = SUPERSEDED

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Inside, SIGINT, SIGTERM and SIGHUP request a stop, in the main thread of a process.

        A signal that is ignored, as under nohup, stays ignored. Repeated signals change nothing: launchers
        and terminals often deliver one twice.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(signum: int, frame: FrameType | None) -> None:
            self.request_stop(signum)

        before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
        handled = [signum for signum, handler in before.items() if handler not in (signal.SIG_IGN, None)]
        for signum in handled:
            signal.signal(signum, handle)
        try:
            yield
        finally:
            for signum in handled:
                signal.signal(signum, before[signum])
