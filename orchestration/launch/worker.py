"""A worker process of a launched run: output to a log, errors of the user reported once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.errors import AnimaticError
from core.files import write_text

if TYPE_CHECKING:
    from training.config import RunConfig
    from training.loop import TrainResult


class WorkerTask(TypedDict):
    """What every worker receives. ``attempt`` identifies the launch, across restarts of its workers."""

    config: RunConfig
    run_dir: Path
    working_dir: Path
    attempt: str


@dataclass(frozen=True)
class Refusal:
    """An error that only the user can fix, in one line; restarting the workers would repeat it."""

    message: str


def worker_log(run_dir: Path, rank: int | str) -> Path:
    """The file with the output of one worker."""
    return run_dir / "logs" / f"rank-{rank}.log"


def work(task: WorkerTask) -> TrainResult | Refusal:
    """Train in this worker process (users of ``torchrun`` call ``training.loop.train`` themselves).

    Raises:
        AnimaticError: an error that the user can fix. After the restart that follows, the same call returns
            it as a :class:`Refusal`, which ends the run.
    """
    run_dir = task["run_dir"]
    os.chdir(task["working_dir"])
    _redirect_output(worker_log(run_dir, os.environ["RANK"]))
    refusal = run_dir / "logs" / f"refused-{task['attempt']}"
    if refusal.exists():
        return Refusal(refusal.read_text())
    from training.loop import train

    try:
        return train(task["config"], run_dir)
    except AnimaticError as error:
        write_text(refusal, str(error))
        raise


def _redirect_output(log: Path) -> None:
    """Send the output of the process, C libraries included, to its log instead of the user's terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
