"""Processes that are suspended are ended by their launcher, once they should have ended themselves."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.host import process_identity
from orchestration.launch.frozen import end_frozen
from tests.support.heartbeats import heartbeat
from training.heartbeats import End, Report


@pytest.fixture
def suspended() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not run."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


def report(sleeping: subprocess.Popen[bytes], ago_s: float, rank: int = 0, **changes: object) -> Report:
    found = heartbeat(rank, process=process_identity(sleeping.pid), allowed_s=30)
    return Report(replace(found, beat=replace(found.beat, pid=sleeping.pid), **changes), ago_s)


def test_a_process_that_is_suspended_for_long_is_killed(suspended):
    assert end_frozen([report(suspended, 80)]) is None and suspended.poll() is None  # it may end itself yet
    failure = end_frozen([report(suspended, 100)])
    assert failure.message == (
        f"no sign of life from worker 0 (node, pid {suspended.pid}) for 100 s, last training (step 8)"
    )
    assert suspended.wait() == -signal.SIGKILL


def test_where_any_process_runs_or_has_ended_by_itself_none_is_killed(suspended):
    silent = report(suspended, 100)
    assert end_frozen([silent, report(suspended, 1, rank=1)]) is None
    assert end_frozen([report(suspended, 100, end=End.FINISHED)]) is None
    assert end_frozen([]) is None
    assert suspended.poll() is None


def test_another_process_of_the_same_id_is_not_killed(suspended):
    assert end_frozen([report(suspended, 100, process="earlier 1 1")]) is None
    assert suspended.poll() is None
