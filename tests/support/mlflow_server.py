"""A real MLflow server for tests."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.free_port import free_port

START_S = 180.0


class MlflowServer:
    """An ``mlflow server`` with its files in ``folder``, at one address however often it starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"),
            *("--artifacts-destination", str(self._folder / "artifacts"), "--workers", "1"),
        ]
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        log = self._folder / "server.log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=file, cwd=self._folder, start_new_session=True
            )
        _wait(self._process, self.address, log)

    def halt(self) -> None:
        """Let it accept connections and never answer."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`halt`."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End it with everything that it has started, if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._send(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _send(self, signum: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signum)


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of an ``mlflow server`` with its database and artifacts in ``folder``."""
    server = MlflowServer(folder)
    try:
        server.start()
        yield server.address
    finally:
        server.kill()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with contextlib.suppress(OSError), opener.open(f"{address}/health", timeout=5):
            return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the MLflow server did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)
