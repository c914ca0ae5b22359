"""What a launcher returns or raises at the end of a run."""

from __future__ import annotations

import signal
from typing import NoReturn

from core.errors import AnimaticError
from training.control import StoppedBySignal
from training.result import Finished, Outcome, Refused, Stopped


def result_of(outcome: Outcome) -> Finished:
    """The result of a run that has finished.

    Raises:
        AnimaticError: it ended with an error that the user can fix.
        KeyboardInterrupt: SIGINT stopped it.
        StoppedBySignal: another signal did.
    """
    if isinstance(outcome, Refused):
        raise AnimaticError(outcome.message)
    if isinstance(outcome, Stopped):
        raise_stopped(outcome.signal, outcome.step)
    return outcome


def raise_stopped(signum: int, step: int | None) -> NoReturn:
    """Raise what ends a command whose run a signal stopped: KeyboardInterrupt or StoppedBySignal."""
    stop = StoppedBySignal(signum, step)
    if signum == signal.SIGINT:
        raise KeyboardInterrupt(str(stop)) from None
    raise stop
