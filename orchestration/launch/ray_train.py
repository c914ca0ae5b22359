"""A training run on Ray Train, which owns its processes, their restarts and their number.

``training.loop.train`` owns what happens inside them. Everything about a run is in its folder, which every
worker must be able to reach (a shared file system on a cluster).
"""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from orchestration.launch.worker import Refusal, WorkerTask, work, worker_log
from pipelines.cluster.connect import ensure_ray
from training.config import RunConfig

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

    from training.loop import TrainResult

RESTARTS = 2
# A machine with other work can take minutes to import torch in every worker.
START_TIMEOUT_S = 600
POLL_S = 0.5


class RayTrainLauncher:
    """Runs ``config`` in ``run_dir`` (absolute) on the workers that the configuration asks for."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        """Connect to the configured Ray cluster, or start a local one.

        Raises:
            AnimaticError: the cluster cannot be reached or is too small.
        """
        _start_ray(config)
        self._run_dir = run_dir
        self._trainer = _trainer(config, run_dir)

    def run(self) -> TrainResult:
        """Train to the bundle; workers that die are replaced and resume from the newest checkpoint.

        Ctrl-C stops the workers and raises KeyboardInterrupt.

        Raises:
            AnimaticError: training failed more often than it is restarted (the message names the log), or a
                worker reported an error that the user can fix.
        """
        from ray.exceptions import RayError
        from ray.train import TrainingFailedError

        try:
            with _own_signals():
                result = self._trainer.fit()
        except SystemExit as stop:
            # Ray's handler stops the workers on Ctrl-C and then exits in this way.
            raise KeyboardInterrupt from stop
        except TrainingFailedError as error:
            raise AnimaticError(_failure(error, self._run_dir)) from error
        except RayError as error:
            raise AnimaticError(
                f"Ray lost the run ({_last_line(error)}); the same command resumes it"
            ) from error
        returned: TrainResult | Refusal = result.return_value
        if isinstance(returned, Refusal):
            raise AnimaticError(returned.message)
        return returned


def _start_ray(config: RunConfig) -> None:
    import ray

    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(POLL_S))
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_TIMEOUT_S))
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    if config.launch.address is None:
        # The watcher looks for machines that are about to be withdrawn; a local one never is.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    wanted = config.launch.workers
    ensure_ray(config.launch.address, max(wanted, os.cpu_count() or 1))
    kind = "GPU" if config.launch.gpus_per_worker else "CPU"
    available = int(ray.cluster_resources().get(kind, 0))
    if available < wanted:
        raise AnimaticError(
            f"launch.workers is {wanted}, but Ray has {available} {kind}s: "
            f"--set launch.workers={max(available, 1)}, or name a larger cluster with --address"
        )


def _trainer(config: RunConfig, run_dir: Path) -> TorchTrainer:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as RayRunConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    gpus = bool(config.launch.gpus_per_worker)
    threads = str(max(1, (os.cpu_count() or 1) // config.launch.workers))
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    task = WorkerTask(config=config, run_dir=run_dir, working_dir=Path.cwd(), attempt=uuid.uuid4().hex)
    return TorchTrainer(
        work,
        train_loop_config=task,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=config.launch.workers,
            use_gpu=gpus,
            resources_per_worker={"GPU": 1, "CPU": 1} if gpus else {"CPU": 1},
        ),
        run_config=RayRunConfig(
            # With a name that was used before, Ray would resume from its own kind of checkpoint.
            name=f"{run_dir.name}-{uuid.uuid4().hex[:8]}",
            storage_path=str(run_dir / "ray"),
            failure_config=FailureConfig(max_failures=RESTARTS),
            worker_runtime_env={"env_vars": environment},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Restore the handler of SIGINT: Ray Train leaves its own installed."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _failure(error: Exception, run_dir: Path) -> str:
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    rank, cause = min(failures.items(), key=lambda item: item[0]) if failures else (0, error)
    return (
        f"training failed {RESTARTS + 1} times, last in worker {rank}: {_last_line(cause)}; "
        f"see {worker_log(run_dir, rank)}"
    )


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
