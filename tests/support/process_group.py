"""Real processes for distributed tests: started once, given one job after another.

A job is a function called by every rank with the same arguments. Results travel through files, never through
exit codes: gloo processes sometimes abort while the interpreter shuts down, after all work is done.
"""

import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from coverage import Coverage

from core.files import atomic_file
from tests.support.free_port import free_port
from tests.support.paths import ROOT
from tests.support.quick import skip_syncs

START_TIMEOUT_S = float(os.environ.get("TEST_JOB_TIMEOUT_S", "240"))
# Of processes without a GPU. Libraries read them when they are imported.
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}


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
        context = multiprocessing.get_context("spawn" if gpus else "forkserver")
        # Processes on the CPU are forked from one that has imported everything.
        context.set_forkserver_preload(["tests.support.imported_training"])
        self._processes, self._orders = [], list[Connection]()
        for rank in range(size):
            settings = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                **({"OMP_NUM_THREADS": "1"} if gpus else _ON_CPU),
                **(environment or {}),
            }
            orders, given = context.Pipe(duplex=False)
            process = context.Process(target=_serve, args=(folder, orders, settings), daemon=True)
            with _environment({} if gpus else _ON_CPU):
                process.start()
            orders.close()
            self._processes.append(process)
            self._orders.append(given)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pids(self) -> list[int]:
        """Of the processes, in order of rank."""
        return [process.pid for process in self._processes if process.pid is not None]

    def start(self, function: Callable[..., Any], *args: Any) -> int:
        """Give every rank the job ``function(*args)`` and return its number."""
        self._job += 1
        for orders in self._orders:
            orders.send((self._job, function.__module__, function.__name__, args))
        return self._job

    def wait(self, job: int, timeout_s: float = START_TIMEOUT_S) -> list[Any]:
        """Every rank's return value, in order of rank; WorkerError when one raised or died."""
        deadline = time.monotonic() + timeout_s
        paths = [self._folder / f"job-{job}-rank-{rank}" for rank in range(len(self._processes))]
        while not all(path.exists() for path in paths):
            dead = [
                p.pid
                for p, path in zip(self._processes, paths, strict=True)
                if p.exitcode is not None and not path.exists()
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
        return [process.exitcode for process in self._processes]

    def kill(self) -> None:
        """SIGKILL every process, wherever it is."""
        for process, orders in zip(self._processes, self._orders, strict=True):
            orders.close()
            if process.exitcode is None and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Variables for a process that is started meanwhile."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(folder: Path, orders: Connection, settings: Mapping[str, str]) -> None:
    os.environ.update(settings)
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "distributed")]
    skip_syncs()
    rank = settings["RANK"]
    log = os.open(folder / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    while True:
        try:
            job, module, name, args = orders.recv()
        except EOFError:
            os._exit(0)  # gloo may abort while the interpreter ends
        outcome: dict[str, Any] = {"value": None, "error": None}
        try:
            outcome["value"] = getattr(importlib.import_module(module), name)(*args)
        except Exception as error:  # noqa: BLE001  the parent raises it again
            outcome["error"] = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        _save_coverage()
        with atomic_file(folder / f"job-{job}-rank-{rank}") as partial:
            partial.write_bytes(pickle.dumps(outcome))


def _save_coverage() -> None:
    """Write what `make coverage` measured here: the signal that ends this process leaves no time for it."""
    measured = Coverage.current()
    if measured is not None:
        measured.save()
