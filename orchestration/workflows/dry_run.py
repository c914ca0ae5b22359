"""One small step of a run in its own processes, with nothing left behind."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from core.disk_errors import usable_folder
from core.errors import AnimaticError
from core.fencing import register_launch
from orchestration.launch import LauncherName, prepare_launch
from orchestration.workflows.preflight import checked
from orchestration.workflows.train_request import TrainRequest
from orchestration.workspace import Workspace
from training.dry_run import reduced
from training.result import DryRunResult
from training.run_folder import RunFolder


@dataclass(frozen=True)
class DryRun:
    """What a dry run did.

    Attributes:
        steps, samples, frames: of the run, of which ``result`` has smaller ones.
        seconds: of the whole dry run, starting the processes included.
    """

    result: DryRunResult
    steps: int
    samples: int
    frames: int
    zero_stage: int
    precision: str
    seconds: float


def dry_run(
    request: TrainRequest,
    workspace: Workspace,
    on_warning: Callable[[str], None],
    launcher: LauncherName = LauncherName.RAY,
) -> DryRun:
    """Check what the run needs, then make one small step with its launcher, processes, data and network.

    Neither run folder, ledger nor trackers are written to: a temporary folder beside the run folder has the
    lock and the logs. It is deleted, unless an error names a log in it.

    Raises:
        AnimaticError: what the preflight found, or what ended the processes.
    """
    began, config = time.monotonic(), request.config
    checked(config, request.run_dir, workspace, on_warning)
    small = reduced(config)
    folder = usable_folder(request.run_dir.parent / f".dry-run-{uuid.uuid4().hex[:8]}")
    keep = False
    try:
        launch = register_launch(RunFolder(folder).writers, f"animatic train --dry-run {uuid.uuid4().hex}")
        result = prepare_launch(launcher, small, folder, launch, on_warning, dry_run=True).run()
    except AnimaticError as error:
        keep = str(folder) in str(error)
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if not isinstance(result, DryRunResult):
        raise TypeError(f"the processes of a dry run returned {result}")
    return DryRun(
        result=result,
        steps=config.train.steps,
        samples=config.train.global_batch,
        frames=1 if config.data.sampling.images_only else config.model.frames,
        zero_stage=config.train.zero_stage,
        precision=config.train.precision,
        seconds=time.monotonic() - began,
    )
