"""Signals to a launching process."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from training.control import STOP_SIGNALS, WARNING_SIGNALS

# Launchers such as `timeout`, and terminals, deliver one signal twice within moments.
REPEAT_S = 1.0


class StopSignals:
    """While entered, in the main thread: remembers the first signal that asks to stop, and a later one.

    Of a scheduler's warning, and what follows it within the time that it announced, none counts as repeated:
    the checkpoint is being written. A signal that is ignored, as under nohup, stays ignored.

    Attributes:
        first: the first signal or warning; None before.
        repeated: whether a second one, which is no warning, asks to stop at once.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.repeated = False
        self._at: float | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (*STOP_SIGNALS, *WARNING_SIGNALS):
                if signal.getsignal(signum) is not signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            # None: of a library, in C, which Python cannot restore.
            signal.signal(signum, handler or signal.SIG_DFL)  # type: ignore[arg-type]

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.first = self.first or signum
        if signum in WARNING_SIGNALS:
            return
        now = time.monotonic()
        if self._at is None:
            self._at = now
        elif now - self._at > REPEAT_S:
            self.repeated = True
