"""A training run on Ray Train, which owns its processes, their restarts and their number.

``training.loop.train`` owns what happens inside them. Everything about a run is in its folder, which every
worker must be able to reach (a shared file system on a cluster).
"""

from __future__ import annotations

import math
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from orchestration.job_log import current_job
from orchestration.launch.board import start_board
from orchestration.launch.elastic import ElasticWorkers
from orchestration.launch.failures import described, failure_message
from orchestration.launch.fit import Fit
from orchestration.launch.imports import import_for_training
from orchestration.launch.outcome import raise_stopped, result_of
from orchestration.launch.resources import Wanted
from orchestration.launch.signals import StopSignals
from orchestration.launch.watch import OnLook, Watch
from orchestration.launch.worker import WorkerTask, work
from pipelines.cluster.connect import ensure_ray
from training.checkpoints import complete_checkpoints
from training.config import RunConfig
from training.control import StoppedBySignal, collective_timeout_s, is_warning
from training.result import Finished
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

# A machine with other work can take minutes to import torch in every worker.
START_TIMEOUT_S = 600
POLLS_PER_S = 100  # of the controller, over all workers
SHORTEST_POLL_S = 0.5
# Between two looks for nodes that are about to be withdrawn.
PREEMPTION_POLL_S = 2
# For processors that an elastic run has just found free: where one is lost, it takes fewer.
ELASTIC_START_S = 60
_LOOK_S = 0.2


class RayTrainLauncher:
    """Runs ``config`` in ``run_dir`` (absolute) on the workers that the configuration asks for."""

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        launch: int,
        report: Callable[[str], None],
        on_look: OnLook | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        """Connect to the configured Ray cluster, or start a local one.

        Args:
            launch: its number in the run folder: see ``core.fencing``.
            report: gets a line on what a run waits for, where that is long; called in a thread.
            on_look: gets the workers' signs of life every few seconds; called in a thread.
            dry_run: the processes make one small step, see :mod:`training.dry_run`.

        Raises:
            AnimaticError: the cluster cannot be reached, or this machine is too small.
        """
        self._wanted, self._dry_run = Wanted.of(config), dry_run
        self._wanted.check_machine()
        self._elastic = ElasticWorkers(config, self._wanted, report) if _is_elastic(config) else None
        _set_environment(config, self._wanted)
        import_for_training()
        ensure_ray(config.launch.address, max(config.launch.workers, os.cpu_count() or 1))
        shortage = self._wanted.shortage()
        if shortage is not None:
            report(f"{shortage}; gives up after {config.launch.wait_s:.0f} s (launch.wait_s)")
        self._run_dir, self._report, self._on_look = run_dir, report, on_look
        self._limit_s = config.launch.wait_s
        self._config, self._launch, self._board = config, launch, start_board()
        self._workers, self._fruitless = config.launch.workers, 0

    def run(self) -> Finished:
        """Train to the bundle; workers that die are replaced and resume from the newest checkpoint, on
        another node if theirs was lost. An elastic run goes on with as many as there are processors for.

        Workers that were stopped because a node is about to be withdrawn start again too, as often as it
        takes: their checkpoint is written.

        SIGTERM, SIGINT and SIGHUP stop the workers after the step in progress, with a checkpoint; a second
        one, or one before the first step, stops them at once. So do SIGUSR1 and SIGUSR2, a scheduler's
        warnings.

        Raises:
            AnimaticError: training failed more often than ``launch.restarts`` without a new checkpoint (the
                message names the log), workers did not start, or one reported an error that the user can fix.
            KeyboardInterrupt: SIGINT stopped the run.
            StoppedBySignal: another signal did.
        """
        from ray.train import TrainingFailedError

        with (
            StopSignals() as signals,
            Watch(self._board, self._wanted, self._limit_s, self._report, self._on_look) as watch,
        ):
            while True:
                before = _newest_checkpoint(self._run_dir)
                if self._elastic is not None:
                    self._workers = self._elastic.choose(lambda: _end_if_asked(signals))
                fit = Fit(self._trainer())
                self._follow(fit, signals, watch)
                try:
                    return self._result(fit)
                except StoppedBySignal as stop:
                    if signals.first is not None or not is_warning(stop.signal):
                        raise
                    self._start_again(str(stop), before, self._config.launch.restarts)
                except TrainingFailedError as error:
                    if self._elastic is not None and _lacked_processors(error):
                        continue
                    # Ray Train has restarted the workers of other runs itself.
                    restarts = self._config.launch.restarts if self._elastic is not None else 0
                    self._start_again(self._failure(error), before, restarts, error)

    def _follow(self, fit: Fit, signals: StopSignals, watch: Watch) -> None:
        """Start Ray Train's call and wait for its end. Raises as :meth:`run` where it is ended here."""
        fit.start()
        forwarded = False
        while not fit.ended(_LOOK_S):
            if watch.given_up is not None:
                watch.stop()
                fit.end_at_once()
                raise AnimaticError(watch.given_up)
            if signals.first is None:
                continue
            if signals.repeated or not (forwarded or watch.is_training()):
                watch.stop()
                fit.end_at_once()
                raise_stopped(signals.first, None)
            if not forwarded:
                name = signal.Signals(signals.first).name
                self._report(f"{name}: stopping with a checkpoint after this step; once more stops at once")
                self._board.stop.remote(signals.first)
                forwarded = True

    def _start_again(
        self, cause: str, before: str | None, restarts: int, error: Exception | None = None
    ) -> None:
        """Report that the workers start again, and why.

        Args:
            before: the newest checkpoint when they were started.
            restarts: that may follow each other without a new checkpoint.

        Raises AnimaticError where there have been as many.
        """
        newest = _newest_checkpoint(self._run_dir)
        if newest not in (before, None):
            self._fruitless = 0
            self._report(f"{cause}; the run goes on, since {newest} was saved meanwhile")
            return
        self._fruitless += 1
        if self._fruitless > restarts:
            raise AnimaticError(cause) from error
        self._report(f"{cause}; the workers start again")

    def _result(self, fit: Fit) -> Finished:
        from ray.exceptions import RayError

        try:
            outcome = fit.result()
        except RayError as error:
            raise AnimaticError(
                f"Ray lost the run ({described(error)}); the same command resumes it"
            ) from error
        return result_of(outcome)

    def _failure(self, error: Exception) -> str:
        import ray

        errors: dict[int, Exception] = getattr(error, "worker_failures", {}) or {0: error}
        return failure_message(
            errors,
            ray.get(self._board.failures.remote()),
            self._run_dir,
            workers=self._workers,
            attempts=self._fruitless + 1 if self._elastic else self._config.launch.restarts + 1,
        )

    def _trainer(self) -> TorchTrainer:
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as RayRunConfig
        from ray.train.torch import TorchTrainer
        from ray.train.v2.api.config import LoggingConfig

        from orchestration.launch.interface import ClusterTorchConfig

        config, run_dir = self._config, self._run_dir
        gpus = bool(config.launch.gpus_per_worker)
        task = WorkerTask(
            config=config,
            run_dir=run_dir,
            working_dir=_working_dir(),
            launch=self._launch,
            board=self._board,
            dry_run=self._dry_run,
        )
        # After each failure, the number of an elastic run's workers is chosen again.
        failures = (
            FailureConfig(max_failures=config.launch.restarts)
            if self._elastic is None
            else FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0)
        )
        return TorchTrainer(
            work,
            train_loop_config=task,
            torch_config=ClusterTorchConfig(
                backend="nccl" if gpus else "gloo",
                timeout_s=math.ceil(collective_timeout_s(self._config.launch.hang_s)),
            ),
            scaling_config=ScalingConfig(
                num_workers=self._workers,
                use_gpu=gpus,
                resources_per_worker={"GPU": 1, "CPU": 1} if gpus else {"CPU": 1},
            ),
            run_config=RayRunConfig(
                # With a name that was used before, Ray would resume from its own kind of checkpoint. Other
                # characters than ASCII, as the run folder's name may have, are errors inside of Ray.
                name=f"run-{uuid.uuid4().hex[:8]}",
                storage_path=str(run_dir / "ray"),
                failure_config=failures,
                logging_config=LoggingConfig(log_level="WARNING"),
            ),
        )


def _newest_checkpoint(run_dir: Path) -> str | None:
    """Its name, which no later checkpoint has; None without one."""
    complete = complete_checkpoints(RunFolder(run_dir).checkpoints)
    return complete[-1].name if complete else None


def _set_environment(config: RunConfig, wanted: Wanted) -> None:
    """Settings of Ray Train, which it has only as environment variables; the user's own are left."""
    workers = config.launch.workers
    poll_s = max(SHORTEST_POLL_S, workers / POLLS_PER_S)
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", str(poll_s))
    start_s = ELASTIC_START_S if _is_elastic(config) else max(START_TIMEOUT_S, config.launch.wait_s)
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(start_s))
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", str(PREEMPTION_POLL_S))
    if config.launch.gpus_per_worker and config.launch.hang_s is not None:
        # Records what NCCL itself knows of a hang; it is the watchdog of the workers that ends it.
        os.environ.setdefault("RAY_TRAIN_ENABLE_NCCL_HANG_DETECTOR", "1")
    if wanted.address is None:
        # The watcher looks for machines that are about to be withdrawn; a local one never is.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


def _working_dir() -> Path | None:
    """From which workers take relative paths; None in a job, whose paths are absolute, and whose code every
    node unpacks to a folder of its own."""
    return None if current_job() else Path.cwd()


def _is_elastic(config: RunConfig) -> bool:
    """Whether the run goes on with fewer workers than ``launch.workers``."""
    return config.launch.min_workers is not None


def _lacked_processors(error: Exception) -> bool:
    """Whether workers did not start, because a processor that was free has been lost or taken."""
    from ray.train import ControllerError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    return isinstance(error, ControllerError) and isinstance(
        error.controller_failure, WorkerGroupStartupTimeoutError
    )


def _end_if_asked(signals: StopSignals) -> None:
    """Raise what ends the run where a signal has asked for it and no worker runs."""
    if signals.first is not None:
        raise_stopped(signals.first, None)
