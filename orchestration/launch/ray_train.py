"""Starting a training run on Ray Train and seeing it through: progress, mirrors, restarts, one clear error.

Ray owns the processes; ``training.loop.train`` owns what happens inside them. Everything about a run lies in
its folder, which every worker must be able to reach (a shared file system on a cluster).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from core.errors import AnimaticError
from core.files import write_text
from orchestration.monitoring.progress import JournalFollower
from orchestration.tracking import Mirror, backends_for, behind_remark
from orchestration.tracking.backends import Outcome
from orchestration.tracking.run import TrackedRun
from orchestration.workspace import Workspace
from pipelines.cluster.connect import ensure_ray
from training.batch_source import DatasetSource
from training.config import RunConfig
from training.publish import finished_bundle
from training.run_folder import RunFolder
from training.stages import STAGES

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

RESTARTS = 2
# A machine that is also doing other work can take minutes to import torch in every worker.
START_TIMEOUT_S = 600
POLL_S = 0.5


@dataclass(frozen=True)
class LaunchResult:
    """A finished run. ``steps``, ``final_loss`` and ``resumed_from`` are None if it was finished before."""

    run_dir: Path
    bundle_path: Path
    bundle_id: str
    seconds: float
    steps: int | None = None
    final_loss: float | None = None
    resumed_from: int | None = None


def launch(config: RunConfig, run_dir: Path, workspace: Workspace, console: Console) -> LaunchResult:
    """Train ``config`` in ``run_dir``; continues what an interrupted call left there.

    A finished run returns at once. Ctrl-C stops the workers and raises KeyboardInterrupt; calling again
    resumes from the newest checkpoint.

    Raises:
        AnimaticError: the folder holds another run, the cluster is too small, or training
            failed more often than it is restarted (the message names the log).
    """
    run_dir = Path(run_dir).resolve()
    started = time.monotonic()
    done = finished_bundle(config, RunFolder(run_dir), DatasetSource(config).digest)
    if done is not None:
        return LaunchResult(run_dir, done.folder, done.id, 0.0)
    run_dir.mkdir(parents=True, exist_ok=True)
    _start_ray(config)
    trainer = _trainer(config, run_dir)
    title = f"stage {config.stage} {STAGES[config.stage].name}"
    follower = JournalFollower(run_dir / "journal.jsonl", config.train.steps, title, console)
    with _mirrored(config, run_dir, workspace, console), follower:
        result = _fit(trainer, run_dir)
    return LaunchResult(
        run_dir=run_dir,
        bundle_path=run_dir / "bundle",
        bundle_id=result["bundle_id"],
        seconds=time.monotonic() - started,
        steps=result["steps"],
        final_loss=result["final_loss"],
        resumed_from=result["resumed_from"],
    )


@contextlib.contextmanager
def _mirrored(config: RunConfig, run_dir: Path, workspace: Workspace, console: Console) -> Iterator[None]:
    """Mirror the run to its trackers, and tell them how it ended."""
    tracking = config.tracking
    run = TrackedRun.of(run_dir, tracking.project)
    mirror = Mirror(
        run, backends_for(tracking.mlflow_uri or workspace.mlflow_uri, tracking.wandb, tracking.project)
    )
    outcome: Outcome = "failed"
    try:
        yield
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        behind = mirror.close(outcome)
        if behind:
            console.print(behind_remark(behind, run_dir), style="yellow")


def _start_ray(config: RunConfig) -> None:
    import ray

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_S))
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_TIMEOUT_S))
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    if config.launch.address is None:
        # Nobody takes this machine away on notice; the watcher would only cost a process.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    wanted = config.launch.workers
    ensure_ray(config.launch.address, max(wanted, os.cpu_count() or 1))
    kind = "GPU" if config.launch.gpus_per_worker else "CPU"
    there = int(ray.cluster_resources().get(kind, 0))
    if there < wanted:
        raise AnimaticError(
            f"launch.workers is {wanted}, but Ray has {there} {kind}s: "
            f"--set launch.workers={max(there, 1)}, or name a larger cluster with --address"
        )


def _trainer(config: RunConfig, run_dir: Path) -> TorchTrainer:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayRunConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    gpus = bool(config.launch.gpus_per_worker)
    threads = str(max(1, (os.cpu_count() or 1) // config.launch.workers))
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    return TorchTrainer(
        work,
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "run_dir": str(run_dir),
            "cwd": str(Path.cwd()),
            "attempt": uuid.uuid4().hex,
        },
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=config.launch.workers,
            use_gpu=gpus,
            resources_per_worker={"GPU": 1, "CPU": 1} if gpus else {"CPU": 1},
        ),
        run_config=RayRunConfig(
            # A name that was used before would make Ray resume by its own idea of a checkpoint.
            name=f"{run_dir.name}-{uuid.uuid4().hex[:8]}",
            storage_path=str(run_dir / "ray"),
            failure_config=FailureConfig(max_failures=RESTARTS),
            worker_runtime_env={"env_vars": environment},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


def _fit(trainer: TorchTrainer, run_dir: Path) -> dict[str, Any]:
    from ray.exceptions import RayError
    from ray.train import TrainingFailedError

    try:
        with _own_signals():
            result = trainer.fit()
    except SystemExit as stop:
        # Ray's handler stops the workers on Ctrl-C and then leaves in this way.
        raise KeyboardInterrupt from stop
    except TrainingFailedError as error:
        raise AnimaticError(_failure(error, run_dir)) from error
    except RayError as error:
        raise AnimaticError(
            f"Ray lost the run ({_first_line(error)}); the same command resumes it"
        ) from error
    returned: dict[str, Any] = result.return_value
    if "refused" in returned:
        raise AnimaticError(returned["refused"])
    return returned


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray Train leaves its SIGINT handler installed; put back what was there."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _failure(error: Exception, run_dir: Path) -> str:
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    rank, cause = min(failures.items(), key=lambda item: item[0]) if failures else (0, error)
    log = run_dir / "logs" / f"rank-{rank}.log"
    return f"training failed {RESTARTS + 1} times, last in worker {rank}: {_first_line(cause)}; see {log}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def work(settings: dict[str, Any]) -> dict[str, Any]:
    """What every worker process does (``torchrun`` users call ``training.loop.train`` themselves)."""
    run_dir, rank = Path(settings["run_dir"]), os.environ["RANK"]
    os.chdir(settings["cwd"])
    _redirect_output(run_dir / "logs" / f"rank-{rank}.log")
    # Retrying what the user has to mend only wastes their time: the first refusal ends the run.
    refusal = run_dir / "logs" / f"refused-{settings['attempt']}"
    if refusal.exists():
        return {"refused": refusal.read_text()}
    from training.loop import train

    try:
        result = train(RunConfig.model_validate(settings["config"]), run_dir)
    except AnimaticError as error:
        write_text(refusal, str(error))
        raise
    return {
        "bundle_id": result.bundle_id,
        "steps": result.steps,
        "final_loss": result.final_loss,
        "resumed_from": result.resumed_from,
    }


def _redirect_output(log: Path) -> None:
    """Everything the worker prints, C libraries included, goes to its log instead of the user's terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
