"""Real processes for distributed tests: started once, given one job after another.

A job is a function called by every rank with the same arguments. Results travel through files, never through
exit codes: gloo processes sometimes abort while the interpreter shuts down, after all work is done.
"""

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coverage import Coverage

from core.files import atomic_file
from tests.support.free_port import free_port
from tests.support.paths import ROOT

START_TIMEOUT_S = float(os.environ.get("TEST_JOB_TIMEOUT_S", "240"))


class WorkerError(Exception):
    """A job failed in a worker; carries the worker's traceback."""


class Workers:
    """``size`` processes in one group, on the CPU or with a GPU each; use as a context manager."""

    def __init__(
        self, size: int, folder: Path, *, gpus: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._job = folder, 0
        port = str(free_port())
        self._processes = []
        for rank in range(size):
            settings = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            }
            if not gpus:
                settings["CUDA_VISIBLE_DEVICES"] = ""
            inherited = os.environ.get("PYTHONPATH")
            paths = [str(ROOT), str(ROOT / "tests" / "distributed"), *([inherited] if inherited else [])]
            settings["PYTHONPATH"] = os.pathsep.join(paths)
            command = [sys.executable, "-m", "tests.support.process_group", str(folder)]
            with (folder / f"rank-{rank}.log").open("w") as log:
                self._processes.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        env={**os.environ, **settings, **(environment or {})},
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        text=True,
                    )
                )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pids(self) -> list[int]:
        """Of the processes, in order of rank."""
        return [process.pid for process in self._processes]

    def start(self, function: Callable[..., Any], *args: Any) -> int:
        """Give every rank the job ``function(*args)`` (JSON arguments) and return its number."""
        self._job += 1
        order = {"job": self._job, "function": [function.__module__, function.__name__], "args": args}
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return self._job

    def wait(self, job: int, timeout_s: float = START_TIMEOUT_S) -> list[Any]:
        """Every rank's return value, in order of rank; WorkerError when one raised or died."""
        deadline = time.monotonic() + timeout_s
        paths = [self._folder / f"job-{job}-rank-{rank}" for rank in range(len(self._processes))]
        while not all(path.exists() for path in paths):
            dead = [
                p.pid
                for p, path in zip(self._processes, paths, strict=True)
                if p.poll() is not None and not path.exists()
            ]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-3000:] for path in sorted(self._folder.glob("rank-*.log")))
                raise WorkerError(f"job {job} did not finish (dead: {dead})\n{logs}")
            time.sleep(0.02)
        outcomes = [pickle.loads(path.read_bytes()) for path in paths]
        for error in (outcome["error"] for outcome in outcomes):
            if error:
                raise WorkerError(error)
        return [outcome["value"] for outcome in outcomes]

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Do one job and return every rank's value."""
        return self.wait(self.start(function, *args))

    def exit_codes(self) -> list[int | None]:
        """Of the processes, in order of rank; None of those that run."""
        return [process.poll() for process in self._processes]

    def kill(self) -> None:
        """SIGKILL every process, wherever it is."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def _serve(folder: Path) -> None:
    rank = os.environ["RANK"]
    for line in sys.stdin:
        order = json.loads(line)
        outcome: dict[str, Any] = {"value": None, "error": None}
        try:
            module, name = order["function"]
            outcome["value"] = getattr(importlib.import_module(module), name)(*order["args"])
        except Exception as error:  # noqa: BLE001  the parent raises it again
            outcome["error"] = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        path = folder / f"job-{order['job']}-rank-{rank}"
        _save_coverage()
        with atomic_file(path) as partial:
            partial.write_bytes(pickle.dumps(outcome))


def _save_coverage() -> None:
    """Write what `make coverage` measured here: the signal that ends this process leaves no time for it."""
    measured = Coverage.current()
    if measured is not None:
        measured.save()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
    os._exit(0)
