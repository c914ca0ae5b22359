"""The preStop hook of heads, with a real Ray head as the chart starts it: without CPUs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests.support.chart import CHART

PORTS = ["port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"]
PORTS += ["runtime-env-agent-port", "metrics-export-port", "node-manager-port", "object-manager-port"]
PORTS += ["ray-client-server-port"]
T = TypeVar("T")
# A job that takes a second to end when it is asked to, as training does to write a checkpoint.
SLOW_TO_END = "trap 'sleep 1; echo checkpoint; exit 143' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def job_server() -> Iterator[str]:
    """The URL of the job server of a head, which ends with the test."""
    ports = _free_ports(len(PORTS))
    folder = tempfile.mkdtemp(prefix="ray-")  # sockets in it must have short paths
    options = [f"--{name}={port}" for name, port in zip(PORTS, ports, strict=True)]
    # As in the chart; the second is for the end of the test only.
    environment = os.environ | {
        "RAY_JOB_STOP_WAIT_TIME_S": "60",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    }
    environment.pop("RAY_ADDRESS", None)
    start = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=0"]
    with subprocess.Popen(
        [*start, f"--temp-dir={folder}", "--object-store-memory=80000000", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as head:
        yield f"http://127.0.0.1:{ports[1]}"
        head.send_signal(signal.SIGTERM)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_hook_stops_jobs_and_waits_until_they_have_ended(job_server: str) -> None:
    from ray.job_submission import JobStatus

    client = wait_for(lambda: _connected(job_server))
    job = client.submit_job(entrypoint=f'bash -c "{SLOW_TO_END}"')
    wait_for(lambda: "ready" in client.get_job_logs(job))
    hook = [sys.executable, CHART / "files" / "stop_jobs.py", "60", job_server]
    done = subprocess.run(hook, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stopping {job}\n"
    assert client.get_job_status(job) == JobStatus.STOPPED
    assert client.get_job_logs(job).endswith("checkpoint\n")
    again = subprocess.run(hook, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, "")


def wait_for(look: Callable[[], T]) -> T:
    """What ``look`` returns as soon as that is true; fails after a minute."""
    return retry(
        retry=retry_if_result(lambda found: not found), stop=stop_after_delay(60), wait=wait_fixed(0.2)
    )(look)()


def _connected(url: str):
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(url)
    except (ConnectionError, RuntimeError):
        return None


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
