"""A worker process of a launched run: output to a log, signs of life, errors of the user reported once."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from core.errors import AnimaticError
from core.files import write_text
from core.repeating import Repeating
from orchestration.launch.board import Beat, Failure
from training.control import RunControl, StoppedBySignal, lost_peer

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from training.config import RunConfig
    from training.loop import TrainResult

logger = logging.getLogger("training.worker")

BEAT_S = 2.0
# So many beats a second reach the launcher at most.
BEATS_PER_S = 50
_LOGGED = ("core", "models", "pipelines", "training")


class WorkerTask(TypedDict):
    """What every worker receives. ``launch``: number of the launch, of restarted workers too."""

    config: RunConfig
    run_dir: Path
    working_dir: Path
    launch: int
    board: ActorHandle[Any]


@dataclass(frozen=True)
class Refusal:
    """An error that only the user can fix, in one line; restarting the workers would repeat it."""

    message: str


@dataclass(frozen=True)
class Stopped:
    """The end of a run that a signal to the launcher asked for; see :class:`StoppedBySignal`."""

    signal: int
    step: int | None


def worker_log(run_dir: Path, rank: int | str) -> Path:
    """The file with the output of one worker."""
    return run_dir / "logs" / f"rank-{rank}.log"


def work(task: WorkerTask) -> TrainResult | Refusal | Stopped:
    """Train in this worker process (users of ``torchrun`` call ``training.loop.train`` themselves).

    Raises:
        AnimaticError: an error that the user can fix. After the restart that follows, the same call returns
            it as a :class:`Refusal`, which ends the run.
    """
    run_dir, rank = task["run_dir"], int(os.environ["RANK"])
    os.chdir(task["working_dir"])
    _redirect_output(worker_log(run_dir, rank))
    refusal = run_dir / "logs" / f"refused-{task['launch']}"
    if refusal.exists():
        return Refusal(refusal.read_text())
    _share_cores()
    from training.loop import train

    control, board = RunControl(), task["board"]
    with _connected(control, board, rank):
        try:
            return train(task["config"], run_dir, control=control, launch=task["launch"])
        except StoppedBySignal as stop:
            return Stopped(stop.signal, stop.step)
        except AnimaticError as error:
            logger.error("%s", error)
            write_text(refusal, str(error))
            board.fail.remote(Failure(rank, str(error)))
            raise
        except Exception as error:
            logger.exception("training failed")
            board.fail.remote(Failure(rank, f"{type(error).__name__}: {error}", lost_peer(error)))
            raise


def _redirect_output(log: Path) -> None:
    """Send the output of the process, C libraries included, to its log instead of the user's terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in _LOGGED:
        package = logging.getLogger(name)
        package.handlers, package.propagate = [handler], False
        package.setLevel(logging.INFO)


def _share_cores() -> None:
    """Divide the cores of this machine among its workers; machines of a cluster can differ.

    Ray itself leaves one thread to each. torch may be imported already, so it is set besides the variables,
    which are read by libraries and processes that start later.
    """
    cores, workers = len(os.sched_getaffinity(0)), int(os.environ["LOCAL_WORLD_SIZE"])
    threads = max(1, cores // workers)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    logger.info("%s, %d of %d cores, %d workers here", platform.node(), threads, cores, workers)


@contextlib.contextmanager
def _connected(control: RunControl, board: ActorHandle[Any], rank: int) -> Iterator[None]:
    """Send beats to the board, and pass its request to stop on to ``control``."""
    import ray
    from ray.exceptions import RayError

    node = ray.get_runtime_context().get_node_id()

    def beat() -> None:
        activity, now = control.activity, time.monotonic()
        since = now - activity.since
        board.beat.remote(
            Beat(
                rank,
                node,
                platform.node(),
                os.getpid(),
                activity.phase,
                activity.step,
                since,
                control.longest_step_s,
            )
        )

    def beat_at_first_step() -> None:
        """From then on, stopping at once would lose something."""
        control.wait_for_first_step()
        beat()

    def listen() -> None:
        try:
            control.request_stop(ray.get(board.stopped.remote()))
        except RayError as error:
            logger.warning("the launcher cannot be reached: %s", type(error).__name__)

    ray.get(board.begin.remote(rank))
    beat()
    every_s = max(BEAT_S, int(os.environ["WORLD_SIZE"]) / BEATS_PER_S)
    beats = Repeating(beat, every_s, "signs of life")
    beats.start()
    for act in (beat_at_first_step, listen):
        threading.Thread(target=act, name=act.__name__, daemon=True).start()
    try:
        yield
    finally:
        beats.stop()
