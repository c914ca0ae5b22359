"""How Ray pods of the chart end: the hook of heads and the drain of workers, with a real head and worker."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.chart import CHART
from tests.support.waiting import wait_until

RAY = Path(sys.executable).with_name("ray")
HEAD_PORTS = ("port", "dashboard-port", "ray-client-server-port")
# A job as training is: asked to stop, its driver has a worker on another node write a checkpoint.
JOB = """
import signal, sys, time, ray

@ray.remote(num_cpus=1)
class Worker:
    def save(self):
        time.sleep(3)
        return "checkpoint"

def stop(signum, frame):
    print(ray.get(worker.save.remote()), flush=True)
    sys.exit(143)

ray.init(log_to_driver=False)
worker = Worker.remote()
ray.get(worker.__ray_ready__.remote())
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def nodes() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a head's job server, and a worker; both as `ray start --block`, the process of a pod."""
    head_ports = dict(zip(HEAD_PORTS, _free_ports(len(HEAD_PORTS)), strict=True))
    with ExitStack() as stack:
        # Sockets in it must have short paths.
        folder = tempfile.mkdtemp(prefix="ray-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        head = ["--head", "--num-cpus=0", f"--temp-dir={folder}"]
        head += [f"--{name}={port}" for name, port in head_ports.items()]
        _start(stack, *head)
        url = f"http://127.0.0.1:{head_ports['dashboard-port']}"
        wait_until(lambda: _connected(url), 120, every_s=0.2)
        worker = _start(stack, f"--address=127.0.0.1:{head_ports['port']}", "--num-cpus=1")
        yield url, worker


@pytest.mark.slow
def test_workers_that_end_wait_for_the_hook_of_the_head_which_stops_jobs_with_a_checkpoint(
    nodes: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    from ray.job_submission import JobStatus, JobSubmissionClient

    url, worker = nodes
    (tmp_path / "job.py").write_text(JOB)
    client = JobSubmissionClient(url)
    job = client.submit_job(entrypoint=f"{sys.executable} {tmp_path}/job.py")
    wait_until(lambda: "ready" in client.get_job_logs(job), 120, every_s=0.2)
    # Kubernetes asks all pods of a deleted RayCluster to end at the same time.
    worker.send_signal(signal.SIGTERM)
    hook = [sys.executable, CHART / "files" / "stop_jobs.py", "60", url]
    done = subprocess.run(hook, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stopping {job}\n"
    assert client.get_job_status(job) == JobStatus.STOPPED
    assert client.get_job_logs(job).endswith("checkpoint\n")
    worker.wait(timeout=60)  # long before its drain would time out
    again = subprocess.run(hook, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, "")


def _start(stack: ExitStack, *options: str) -> subprocess.Popen[bytes]:
    """A Ray node with the variables of the chart's pods, which ends with the stack."""
    # 285 s: the grace period's, so that a worker that does not wait for the job is noticed.
    drain = "1" if "--head" in options else "285"
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": "60", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": drain}
    agents = ["dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port"]
    ports = [f"--{name}={port}" for name, port in zip(agents, _free_ports(len(agents)), strict=True)]
    node = subprocess.Popen(
        [RAY, "start", "--block", "--object-store-memory=80000000", *options, *ports],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(node.wait)
    stack.callback(node.send_signal, signal.SIGTERM)
    return node


def _connected(url: str) -> bool:
    from ray.job_submission import JobSubmissionClient

    try:
        JobSubmissionClient(url)
    except (ConnectionError, RuntimeError):
        return False
    return True


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
