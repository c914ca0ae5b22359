"""Signals that end a process: SIGTERM and SIGHUP as an exception, which leaves finished work as it is."""

import signal
import threading
from types import FrameType
from typing import NoReturn


class SignalExit(SystemExit):
    """A signal asked the process to end.

    As a SystemExit, it ends a process that does not catch it with its exit code, and no traceback.

    Attributes:
        signal: its number.
        exit_code: 128 + signal, unless the signal has a code of its own.
    """

    def __init__(self, signum: int, exit_code: int | None = None) -> None:
        self.signal, self.exit_code = signum, 128 + signum if exit_code is None else exit_code
        super().__init__(self.exit_code)

    def __str__(self) -> str:
        return f"stopped by {self.name}: finished work is kept; the same command resumes"

    @property
    def name(self) -> str:
        """Of the signal, as SIGTERM."""
        return signal.Signals(self.signal).name


class _Raised:
    """The exception that a handler raised last: libraries replace it by a SystemExit of their own."""

    exit: SignalExit | None = None


def raise_on_signals() -> None:
    """From now on, SIGTERM and SIGHUP raise SignalExit in the main thread; without effect in another thread.

    Handlers of SIGHUP that others have set, and its being ignored, as under nohup, are left.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, _exit)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _exit)


def as_signal_exit(exit: SystemExit) -> SignalExit | None:
    """The SignalExit that ``exit`` is or, in a library, has replaced; None where no signal was the cause."""
    raised, _Raised.exit = _Raised.exit, None
    return exit if isinstance(exit, SignalExit) else raised


def _exit(signum: int, frame: FrameType | None) -> NoReturn:
    _Raised.exit = SignalExit(signum)
    raise _Raised.exit
