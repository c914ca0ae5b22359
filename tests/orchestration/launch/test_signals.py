"""Signals to the process that launched a run."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from core.signals import raise_on_signals
from orchestration.launch import signals
from orchestration.launch.signals import StopSignals
from orchestration.tracking import mirror
from tests.support.command import run
from training.control import PREEMPTED, StoppedBySignal


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_is_remembered_and_a_later_one_counts_as_repeated(monkeypatch, signum):
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock.now)
    before = signal.getsignal(signum)
    with StopSignals() as received:
        assert received.first is None
        os.kill(os.getpid(), signum)
        os.kill(os.getpid(), signum)  # delivered twice, as by `timeout`
        assert (received.first, received.repeated) == (signum, False)
        clock.now += 2 * signals.REPEAT_S
        os.kill(os.getpid(), signum)
        assert received.repeated
    assert signal.getsignal(signum) == before


@pytest.mark.parametrize("warning", [signal.SIGUSR1, signal.SIGUSR2])
def test_what_follows_a_warning_leaves_the_checkpoint_the_time_it_announced(monkeypatch, warning):
    clock = SimpleNamespace(now=5.0)
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock.now)
    with StopSignals() as received:
        for signum in (warning, warning, signal.SIGTERM):
            os.kill(os.getpid(), signum)
            clock.now += 2 * signals.REPEAT_S
        assert (received.first, received.repeated) == (warning, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert received.repeated


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received.first is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("signum", "name"),
    [
        (signal.SIGUSR1, "SIGUSR1"),
        (signal.SIGUSR2, "SIGUSR2"),
        (PREEMPTED, "a notice of preemption"),
    ],
)
def test_a_run_whose_processors_are_withdrawn_exits_with_75(tmp_path, monkeypatch, signum, name):
    def stop(*_: object, **__: object) -> None:
        raise StoppedBySignal(signum, 12)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestration.workflows.train_request.prepare_training", stop)
    result = run("train", "--stage", 0, "--preset", "tiny")
    assert result.exit_code == os.EX_TEMPFAIL == 75
    assert result.stderr == (
        f"stopped by {name}: the checkpoint of step 12 is written; the same command resumes\n"
    )


@pytest.mark.parametrize(
    ("step", "kept"),
    [
        (12, "the checkpoint of step 12 is written; the same command resumes"),
        (0, "nothing was trained yet; the same command resumes"),
        (None, "the same command resumes from the newest checkpoint"),
    ],
)
def test_a_stopped_run_exits_with_143_and_one_line(tmp_path, monkeypatch, step, kept):
    def stop(*_: object, **__: object) -> None:
        raise StoppedBySignal(signal.SIGTERM, step)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestration.workflows.train_request.prepare_training", stop)
    result = run("train", "--stage", 0, "--preset", "tiny")
    assert result.exit_code == 143
    assert result.stderr == f"stopped by SIGTERM: {kept}\n"


def test_a_stopped_run_is_interrupted_for_trackers(monkeypatch):
    outcomes: list[str] = []
    recorded = SimpleNamespace(close=lambda outcome: outcomes.append(outcome) or {})
    monkeypatch.setattr(mirror, "Mirror", lambda *_: recorded)
    with pytest.raises(StoppedBySignal), mirror.mirrored(None, [], print):
        raise StoppedBySignal(signal.SIGTERM, 1)
    assert outcomes == ["interrupted"]


def test_a_command_reports_the_signal_even_where_a_library_replaced_the_exit(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def work(*_: object) -> None:
        raise_on_signals()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            sys.exit(1)  # as Ray does in its calls

    monkeypatch.setattr("orchestration.workflows.train_request.prepare_training", work)
    result = run("train", "--stage", 0, "--preset", "tiny")
    assert result.exit_code == 143
    assert result.stderr == "stopped by SIGTERM: finished work is kept; the same command resumes\n"
    signal.signal(signal.SIGTERM, before)
