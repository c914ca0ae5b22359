"""Processes that start quickly, to be killed: forked from a process that has imported everything."""

import json
import multiprocessing
import os
import pkgutil
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from core.files import atomic_file
from tests.support.free_port import free_port

TIMEOUT_S = 240.0
GRACE_S = 5.0


def run_as_rank(
    rank: int, size: int, port: int, environment: Mapping[str, str], job: str, args: list[Any], folder: str
) -> None:
    """Do a job in one of ``size`` processes; what it returns is in ``folder``.

    Args:
        job: the function, as ``module.name``.
    """
    os.environ.update(environment)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        CUDA_VISIBLE_DEVICES="",
    )
    log = os.open(Path(folder) / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        outcome = pkgutil.resolve_name(job)(*args)
        with atomic_file(Path(folder) / f"result-{rank}.json") as partial:
            partial.write_text(json.dumps(outcome))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class KillableJob:
    """A job in ``size`` processes, of which any can be killed at any time.

    Attributes:
        folder: with the results and logs of the processes.
    """

    def __init__(
        self, size: int, environment: Mapping[str, str], job: str, args: list[Any], folder: Path
    ) -> None:
        """Start it; see :func:`run_as_rank`."""
        folder.mkdir(parents=True)
        self.folder = folder
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.support.imported_training"])
        port = free_port()
        self._processes: list[ForkServerProcess] = [
            context.Process(
                target=run_as_rank,
                args=(rank, size, port, dict(environment), job, args, str(folder)),
                daemon=True,
            )
            for rank in range(size)
        ]
        for process in self._processes:
            process.start()

    @property
    def has_ended(self) -> bool:
        """Whether a process has ended, by itself or killed."""
        return any(process.exitcode is not None for process in self._processes)

    def kill(self, rank: int) -> None:
        """SIGKILL one process, and the others where they do not end for the lack of it."""
        self._processes[rank].kill()
        for process in self._processes:
            process.join(GRACE_S)
            process.kill()
            process.join(TIMEOUT_S)

    def results(self) -> list[dict[str, Any]]:
        """What the processes have returned, by rank, once all have ended; those that did."""
        for process in self._processes:
            process.join(TIMEOUT_S)
        found = sorted(self.folder.glob("result-*.json"))
        return [json.loads(path.read_text()) for path in found]

    def log(self) -> str:
        """The end of what the processes printed."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("rank-*.log")))
