"""Signals as exceptions."""

import os
import signal
import threading

import pytest

from core.signals import SignalExit, as_signal_exit, raise_on_signals


@pytest.fixture(autouse=True)
def handlers():
    """The handlers before, restored."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_raised_as_an_exit_with_the_code_of_shells(signum, code):
    raise_on_signals()
    with pytest.raises(SignalExit) as caught:
        os.kill(os.getpid(), signum)
    assert (caught.value.code, caught.value.signal) == (code, signum)
    assert as_signal_exit(caught.value) is caught.value


def test_nohup_is_respected():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_leave_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=raise_on_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_exit_without_a_signal_is_none():
    assert as_signal_exit(SystemExit(1)) is None
