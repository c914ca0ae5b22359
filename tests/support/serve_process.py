"""The real `animatic serve`, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.support.paths import ROOT
from tests.support.serving import ENDED
from tests.support.waiting import wait_until

# Of a busy machine; it only ends a test that fails.
TIMEOUT_S = 600.0
_COMMAND = "from orchestration.cli import main; main()"
API, ENGINE, PROXY, CONTROLLER = (
    "ray::ServeReplica:animatic:Api",
    "ray::ServeReplica:animatic-engine:Engine",
    "ray::ProxyActor",
    "ray::ServeController",
)


class ServeProcess:
    """A service with its state in a folder, on a free port."""

    def __init__(self, folder: Path, location: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "serve.log"
        self._seen: dict[int, psutil.Process] = {}
        settings = {
            "ANIMATIC_RUNS": str(folder / "runs"),
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = [sys.executable, "-c", _COMMAND, "serve", "--from", str(location), "--port", "0", *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text()

    def url(self, timeout_s: float = TIMEOUT_S) -> str:
        """Where it answers, once it is ready."""
        found = self._until(
            lambda: re.search(r"^(http://\S+)  the page", self.output, re.MULTILINE), timeout_s
        )
        return found[1]

    def submit(self, picture: bytes, **fields: Any) -> str:
        """The id of an accepted video."""
        answer = requests.post(
            f"{self.url()}/v1/videos",
            data={name: str(value) for name, value in {"prompt": "a ball rolls", **fields}.items()},
            files={"input_reference": ("picture.png", picture)},
            timeout=60,
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def video(self, video: str) -> dict[str, Any]:
        """A video, or nothing while nobody answers."""
        try:
            answer = requests.get(f"{self.url()}/v1/videos/{video}", timeout=30)
        except requests.ConnectionError:
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def ended(self, video: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """The video, once it has ended."""

        def look() -> dict[str, Any]:
            found = self.video(video)
            return found if found.get("status") in ENDED else {}

        return self._until(look, timeout_s)

    def at_step(self, video: str, step: int, timeout_s: float = TIMEOUT_S) -> None:
        """Return once the video runs, and has reached a step."""
        self._until(lambda: (self.video(video).get("step") or 0) >= step, timeout_s)

    def content(self, video: str) -> bytes:
        """The clip of a completed video."""
        answer = requests.get(f"{self.url()}/v1/videos/{video}/content", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.content

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Its processes of this title, or all, itself included."""
        own = psutil.Process(self.process.pid)
        every = [own, *own.children(recursive=True)]
        self._seen |= {process.pid: process for process in every}
        return [process for process in every if _title(process).startswith(title)]

    def kill(self, title: str) -> None:
        """SIGKILL one of these processes; wait until it is gone."""
        (process,) = self.processes(title)
        process.kill()
        psutil.wait_procs([process], timeout=30)

    def kill_all(self) -> None:
        """SIGKILL every process at once."""
        every = self.processes()
        for process in every:
            process.suspend()  # so that none sees another one end
        for process in every:
            process.kill()
        self.process.wait(30)

    def stop(self, signum: signal.Signals = signal.SIGTERM, timeout_s: float = 120) -> int:
        """Its exit code."""
        self.processes()
        self.process.send_signal(signum)
        return self.process.wait(timeout_s)

    def left(self, timeout_s: float = 20) -> list[str]:
        """Titles of its processes that still run, a while after its end; defunct ones too."""
        _, alive = psutil.wait_procs(list(self._seen.values()), timeout=timeout_s)
        return [_title(process) for process in alive]

    def _until(self, look: Any, timeout_s: float) -> Any:
        return wait_until(
            look, timeout_s, lambda: None if self.process.poll() is None else f"ended: {self.output}"
        )


@contextmanager
def serving(folder: Path, location: Path, *options: str) -> Iterator[ServeProcess]:
    """A service; what is left of it is killed at the end."""
    service = ServeProcess(folder, location, *options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.kill_all()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
