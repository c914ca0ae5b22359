"""Where a process of a run logs to, and its share of the cores of its machine."""

import logging
import os
import platform
import sys
from pathlib import Path

from training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_LOGGED = ("core", "models", "pipelines", "training")
_FORM = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


def worker_log(run_dir: Path, rank: int | str) -> Path:
    """The file with the log of one process."""
    return RunFolder(run_dir).logs / f"rank-{rank}.log"


def redirect_output(log: Path) -> None:
    """Send all output of the process, C libraries included, to its log instead of the user's terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    _log_to(logging.StreamHandler(sys.stderr))


def log_to_file(log: Path, *, to_terminal: bool) -> None:
    """Log to a file and, in the process that speaks for the run, to stderr as well.

    What libraries print stays on the terminal, for the launcher to collect.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(log)]
    _log_to(*handlers, *([logging.StreamHandler(sys.stderr)] if to_terminal else []))


def share_cores() -> None:
    """Divide the cores of this machine among its processes; machines of a cluster can differ.

    Ray and torchrun leave one thread to each. torch may be imported already, so it is set besides the
    variables, which are read by libraries and processes that start later.
    """
    cores, workers = len(os.sched_getaffinity(0)), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = max(1, cores // workers)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    logger.info("%s, %d of %d cores, %d workers here", platform.node(), threads, cores, workers)


def _log_to(*handlers: logging.Handler) -> None:
    for handler in handlers:
        handler.setFormatter(_FORM)
    for name in _LOGGED:
        package = logging.getLogger(name)
        package.handlers, package.propagate = list(handlers), False
        package.setLevel(logging.INFO)
