"""Requests to stop that a process receives as signals."""

import os
import signal

import pytest

from training.control import RunControl, StoppedBySignal


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 75),
        (signal.SIGUSR2, 75),
    ],
)
def test_every_signal_to_stop_is_remembered_and_has_its_code(signum, code):
    control, before = RunControl(), signal.getsignal(signum)
    with control.handling_signals():
        os.kill(os.getpid(), signum)
        assert control.stop_signal == signum
        os.kill(os.getpid(), signal.SIGTERM)
        assert control.stop_signal == signum  # the first one counts
    assert signal.getsignal(signum) == before
    stopped = StoppedBySignal(signum, 3)
    assert stopped.exit_code == code
    assert str(stopped).startswith(f"stopped by {signum.name}: the checkpoint of step 3 is written;")
