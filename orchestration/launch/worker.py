"""A worker process of a launched run: output to a log, signs of life, errors of the user reported once."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from core.errors import AnimaticError
from core.files import write_text
from core.repeating import Repeating
from orchestration.launch.preemption import preemption_noticed
from training.control import PREEMPTED, RunControl, StoppedBySignal
from training.processes.errors import lost_peer
from training.processes.output import redirect_output, share_cores, worker_log
from training.processes.signs_of_life import Beat, Failure, beat_interval_s
from training.result import Finished, Outcome, Refused, Stopped

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from training.config import RunConfig

logger = logging.getLogger("training.worker")

_FAIL_S = 5.0  # for the launcher to learn of a hang before this process ends


class WorkerTask(TypedDict):
    """What every worker receives. ``launch``: number of the launch, of restarted workers too; ``dry_run``:
    whether it makes one small step alone."""

    config: RunConfig
    run_dir: Path
    working_dir: Path | None
    launch: int
    board: ActorHandle[Any]
    dry_run: bool


def work(task: WorkerTask) -> Outcome:
    """Train in this worker process (``training.entry`` is for those of other launchers).

    Raises:
        AnimaticError: an error that the user can fix. After the restart that follows, the same call returns
            it as a :class:`Refused`, which ends the run.
    """
    run_dir, rank = task["run_dir"], int(os.environ["RANK"])
    if task["working_dir"] is not None:
        os.chdir(task["working_dir"])
    redirect_output(worker_log(run_dir, rank))
    refusal = run_dir / "logs" / f"refused-{task['launch']}"
    if refusal.exists():
        return Refused(refusal.read_text())
    share_cores()
    from training.dry_run import dry_run
    from training.heartbeats.flight_recorder import set_up_flight_recorder
    from training.loop import train

    set_up_flight_recorder(run_dir, os.environ)
    act: Callable[..., Finished] = dry_run if task["dry_run"] else train
    board = task["board"]
    control = RunControl(on_hang=lambda named, message: _report_hang(board, Failure(named, message)))
    with _connected(control, board, rank):
        try:
            return act(task["config"], run_dir, control=control, launch=task["launch"])
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


def _report_hang(board: ActorHandle[Any], failure: Failure) -> None:
    import ray
    from ray.exceptions import RayError

    try:
        ray.get(board.fail.remote(failure), timeout=_FAIL_S)
    except RayError as error:
        logger.warning("the launcher cannot be reached: %s", type(error).__name__)


@contextlib.contextmanager
def _connected(control: RunControl, board: ActorHandle[Any], rank: int) -> Iterator[None]:
    """Send beats to the board, and pass on to ``control`` its request to stop, and Ray's notice that a node
    with workers is about to be withdrawn."""
    import ray
    from ray.exceptions import RayError

    node = ray.get_runtime_context().get_node_id()

    def beat() -> None:
        board.beat.remote(Beat.of(control, rank, node))
        if preemption_noticed():
            control.request_stop(PREEMPTED)

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
    beats = Repeating(beat, beat_interval_s(int(os.environ["WORLD_SIZE"])), "signs of life")
    beats.start()
    for act in (beat_at_first_step, listen):
        threading.Thread(target=act, name=act.__name__, daemon=True).start()
    try:
        yield
    finally:
        beats.stop()
