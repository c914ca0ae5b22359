"""Train one stage to its bundle, mirror the run to the trackers, and accept the bundle."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.disk_errors import usable_folder
from core.lock import named_lock
from models.bundle import open_bundle
from orchestration.launch import LauncherName, prepare_launch
from orchestration.monitoring import JournalFollower, MetricsOptions, TrainingProgress, served_training
from orchestration.registry import Entry, accept
from orchestration.tracking import TrackedRun, backends_for, mirrored
from orchestration.workflows.preflight import checked
from orchestration.workflows.train_request import TrainRequest
from orchestration.workspace import Workspace
from training.publish import finished_bundle
from training.result import TrainResult
from training.run_folder import RunFolder
from training.upload.completion import complete_upload, warn_if_incomplete
from training.upload.joining import join_run


@dataclass(frozen=True)
class FinishedRun:
    """A finished run. ``steps``, ``final_loss`` and ``resumed_from`` are None if it was finished before."""

    run_dir: Path
    bundle_path: Path
    bundle_id: str
    seconds: float
    steps: int | None = None
    final_loss: float | None = None
    resumed_from: int | None = None


@dataclass(frozen=True)
class TrainOutcome:
    """The run, and the ledger entry of its bundle."""

    run: FinishedRun
    accepted: Entry


def train(
    request: TrainRequest,
    workspace: Workspace,
    on_progress: Callable[[TrainingProgress], None],
    on_warning: Callable[[str], None],
    metrics: MetricsOptions | None = None,
    launcher: LauncherName = LauncherName.RAY,
) -> TrainOutcome:
    """Train in the request's folder, or continue what an interrupted call left in it.

    A finished run returns at once. SIGINT (Ctrl-C), SIGTERM and SIGHUP stop the workers with a checkpoint, a
    second one at once; they raise KeyboardInterrupt (SIGINT) or StoppedBySignal. Calling again resumes.

    A run that has a folder in a store (``upload.url``) first takes over what another machine has put there.

    ``metrics``: where Prometheus is served meanwhile, if at all.

    Raises:
        AnimaticError: the folder contains another run, cannot be written to, or is being written to by the
            same command elsewhere; the port of the metrics is in use; this machine is too small; or training
            failed more often than it is restarted (the message names the log).
    """
    started = time.monotonic()
    config, run_dir = request.config, request.run_dir
    folder = RunFolder(run_dir)
    bundle = finished_bundle(
        config, folder, request.dataset_digest, request.sources, taken_down=request.taken_down
    )
    if bundle is not None:
        complete_upload(config, folder, on_warning)
        return TrainOutcome(
            FinishedRun(run_dir, bundle.folder, bundle.id, 0.0), accept(workspace.ledger, bundle)
        )
    result = _launch(request, workspace, on_progress, on_warning, metrics, launcher)
    warn_if_incomplete(config, on_warning)
    bundle = open_bundle(folder.bundle)
    if result is None:
        run = FinishedRun(run_dir, bundle.folder, bundle.id, time.monotonic() - started)
        return TrainOutcome(run, accept(workspace.ledger, bundle))
    run = FinishedRun(
        run_dir=run_dir,
        bundle_path=bundle.folder,
        bundle_id=bundle.id,
        seconds=time.monotonic() - started,
        steps=result.steps,
        final_loss=result.final_loss,
        resumed_from=result.resumed_from,
    )
    return TrainOutcome(run, accept(workspace.ledger, bundle))


def _launch(
    request: TrainRequest,
    workspace: Workspace,
    on_progress: Callable[[TrainingProgress], None],
    on_warning: Callable[[str], None],
    metrics: MetricsOptions | None,
    name: LauncherName,
) -> TrainResult | None:
    """Run to the bundle, with progress and mirrors, which begin once the cluster is known to suffice.

    None where another machine has finished the run, and its bundle was copied from there.
    """
    config, run_dir = request.config, usable_folder(request.run_dir)
    folder = RunFolder(run_dir)
    checked(config, run_dir, workspace, on_warning)
    with (
        named_lock(folder.launch_lock, "train", folder=run_dir),
        served_training(config, run_dir, metrics) as recorder,
    ):
        launch = join_run(folder, f"animatic train {uuid.uuid4().hex}", config, on_warning)
        if folder.bundle.exists():
            finished_bundle(
                config, folder, request.dataset_digest, request.sources, taken_down=request.taken_down
            )
            return None
        on_look = recorder.watch if recorder else None
        launcher = prepare_launch(name, config, run_dir, launch, on_warning, on_look)
        tracking = config.tracking
        run = TrackedRun.of(run_dir, tracking.project)
        uri = tracking.mlflow_uri or workspace.mlflow_uri
        with (
            mirrored(run, backends_for(uri, tracking.wandb, tracking.project), on_warning),
            JournalFollower(
                run.journal,
                config.train.steps,
                on_progress,
                on_warning,
                recorder.record if recorder else None,
            ),
        ):
            result = launcher.run()
    if not isinstance(result, TrainResult):
        raise TypeError(f"the processes of a run returned {result}")
    return result
