"""The service on Ray: started, followed and stopped by one process."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator

import psutil  # type: ignore[import-untyped]
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve._private.common import DeploymentStatus
from ray.serve.schema import ApplicationStatus

from core.errors import AnimaticError, last_line
from orchestration.serving.deployment.application import APPLICATION, ENGINE_APPLICATION, applications
from orchestration.serving.deployment.following import Follower
from orchestration.serving.jobs import JobStore, JobStoreError
from orchestration.serving.settings import ServingSettings
from pipelines.cluster.connect import ensure_ray

_LOOK_S = 0.5
# Of Ray on this machine: without one of them nothing works, and calls to Ray may wait for minutes.
_PROCESSES = frozenset({"gcs_server", "raylet"})
# Load balancers keep connections open, and would see them closed under a request.
_KEEP_ALIVE_S = 90
_FAILED = frozenset({DeploymentStatus.UNHEALTHY, DeploymentStatus.DEPLOY_FAILED})
Say = Callable[[str], None]


def free_port(host: str, port: int) -> int:
    """The port itself, or a free one for 0.

    Raises AnimaticError where something listens there already, or the address is not this machine's.
    """
    try:
        # Ray's proxy would share the port with another of Ray's proxies.
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen()
            return int(listener.getsockname()[1])
    except OSError as error:
        raise AnimaticError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port or --host"
        ) from error


@contextlib.contextmanager
def running(settings: ServingSettings, address: str | None, say: Say) -> Iterator[Watch]:
    """The service, deployed on this machine or on the cluster at ``address``; stopped at the end.

    Raises:
        AnimaticError: Ray does not start or answer, the cluster has another service, or the application
            cannot start.
    """
    ensure_ray(address)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    watch = Watch(local=address is None)
    try:
        _start(settings, address)
        try:
            yield watch
        finally:
            if watch.alive:
                _drain(settings, say)
    finally:
        if not watch.alive:
            watch.end()
        ray.shutdown()


class Watch:
    """Whether Ray, which this process started, still runs."""

    def __init__(self, local: bool) -> None:
        children = psutil.Process().children(recursive=False) if local else []
        self._processes = [process for process in children if process.name() in _PROCESSES]
        self._children = children

    @property
    def alive(self) -> bool:
        """Whether every process of Ray that matters runs; always for a cluster."""
        return all(
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in self._processes
        )

    def check(self) -> None:
        """Raise AnimaticError where one has ended."""
        if not self.alive:
            raise AnimaticError(
                "Ray ended under the service: unfinished videos are kept, and run when the same command is "
                "given again; its logs are in /tmp/ray/session_latest/logs, or under RAY_TMPDIR"
            )

    def end(self) -> None:
        """End what is left of Ray, which its own shutdown would wait for."""
        for process in self._children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(self._children, timeout=5)


def follow(
    settings: ServingSettings, jobs: JobStore, watch: Watch, on_ready: Callable[[], None], say: Say
) -> None:
    """Print what happens until a signal ends it; ``on_ready`` is called once.

    Raises AnimaticError where Ray ends.
    """
    follower, ready, outage = Follower(jobs), False, ""
    while True:
        watch.check()
        try:
            lines = follower.lines()
        except JobStoreError as error:
            if str(error) != outage:
                say(f"the database does not answer: {last_line(error)}; trying again")
            outage = str(error)
        else:
            outage = ""
            for line in lines:
                say(line)
            if not ready and follower.ready(settings.source.models[0]):
                ready = True
                on_ready()
        time.sleep(_LOOK_S)


def _start(settings: ServingSettings, address: str | None) -> None:
    http = settings.http
    if address is not None and APPLICATION in serve.status().applications:
        raise AnimaticError(
            f"the Ray cluster at {address} serves already: stop that service first, or use another cluster"
        )
    try:
        serve.start(
            proxy_location="EveryNode" if address else "HeadOnly",
            http_options={"host": http.host, "port": http.port, "keep_alive_timeout_s": _KEEP_ALIVE_S},
        )
        serve.run_many(applications(settings))
    except (RayError, RuntimeError) as error:
        raise AnimaticError(f"the service did not start: {_cause() or last_line(error)}") from error


def _cause() -> str:
    """What Ray Serve reports of the deployment that did not start; nothing if it reports nothing."""
    with contextlib.suppress(RayError, RuntimeError):
        found = serve.status().applications
        for name in (APPLICATION, ENGINE_APPLICATION):
            for deployment in found[name].deployments.values() if name in found else ():
                if deployment.status in _FAILED:
                    return last_line(deployment.message)
    return ""


def _drain(settings: ServingSettings, say: Say) -> None:
    """End the service: the engine's replicas finish what runs, or release it, while the API answers."""
    seconds = settings.engine.stop_seconds
    say(f"stopping: running videos have {seconds:g} s to end, waiting ones are kept; Ctrl-C stops at once")
    with contextlib.suppress(RayError, RuntimeError):  # what has ended needs no end
        for name in (ENGINE_APPLICATION, APPLICATION):
            serve.delete(name, _blocking=False)
            while _deployed(name):
                time.sleep(_LOOK_S / 2)


def _deployed(name: str) -> bool:
    found = serve.status().applications.get(name)
    return found is not None and found.status is not ApplicationStatus.NOT_STARTED
