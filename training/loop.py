"""The training loop: one for all stages, the same under Ray Train, torchrun and in a single process."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from core.fencing import Token, superseding
from core.files import remove_partials, write_text
from training import events
from training.announcement import started, surroundings
from training.backends import DeepSpeedBackend, Ema
from training.batch_shares import batch_shares
from training.batch_source import BatchSource, open_patiently, takedowns_of
from training.checkpoints import CheckpointIdentity, CheckpointStore, Stateful
from training.config import RunConfig, dump_yaml, trajectory_hash
from training.continuation import find_continuation, resume
from training.control import SUPERSEDED, Phase, RunControl, StoppedBySignal
from training.image_steps import is_image_step
from training.initialisation import initialise
from training.journal import Journal
from training.memory import peak_memory
from training.objectives.denoising import DenoisingObjective
from training.processes.environment import Environment, gathered_environment
from training.processes.group import ProcessGroup, join_process_group
from training.processes.preflight import Setup, check_equal_setups
from training.publish import finished_bundle, finished_result, publish
from training.result import TrainResult
from training.run_folder import RunFolder
from training.run_lock import only_run
from training.skipped_steps import SkippedSteps
from training.step_meter import StepMeter
from training.trainable import trainable_names
from training.validation import Validation

logger = logging.getLogger(__name__)

__all__ = ["TrainResult", "train"]

OnProgress = Callable[[int, int, Mapping[str, float]], None]
OnCheckpoint = Callable[[int, Path], None]


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    source: BatchSource | None = None,
    on_progress: OnProgress | None = None,
    on_checkpoint: OnCheckpoint | None = None,
    control: RunControl | None = None,
    launch: int | None = None,
) -> TrainResult:
    """Train a stage to its bundle; called in every process.

    Resumes from the newest complete checkpoint of ``run_dir``; a run that is finished returns at once.

    SIGTERM, SIGINT or SIGHUP to any of the processes ends the run after the step in progress, with a
    checkpoint: torchrun, Slurm and Kubernetes send SIGTERM.

    Args:
        run_dir: on a file system that all processes share.
        source: batches in place of ``config.data.dataset``.
        on_progress: called in every process after each step with (step, steps, newest metrics).
        on_checkpoint: called in every process with (step, folder) when a checkpoint is complete.
        control: of this process, through which its launcher follows and stops it.
        launch: number of the launch that the processes belong to, which another process has registered: see
            ``core.fencing``.

    Raises AnimaticError for what the user can fix: missing or damaged bundles, another number of processes
    than the checkpoint's, a run folder of another configuration or that another run is writing to, losses
    that stay non-finite, processes that run different code. Raises SupersededError, an AnimaticError, when
    the run was started again elsewhere: it writes nothing more then. Raises StoppedBySignal, which ends a
    process with exit code 128 + signal.
    """
    control = control or RunControl()
    with control.handling_signals():
        return _train(config, run_dir, source, on_progress, on_checkpoint, control, launch)


def _train(
    config: RunConfig,
    run_dir: Path,
    source: BatchSource | None,
    on_progress: OnProgress | None,
    on_checkpoint: OnCheckpoint | None,
    control: RunControl,
    launch: int | None,
) -> TrainResult:
    folder = RunFolder(run_dir)
    group = join_process_group(gpu=config.launch.gpus_per_worker > 0)
    source = source or group.together(lambda: open_patiently(config))
    check_equal_setups(Setup.of(config, source.digest), group)
    # Refuses what cannot be shared before anything is loaded.
    group.together(lambda: batch_shares(config, group.size))
    finished = finished_result(config, folder, source.digest, group, takedowns_of(source))
    if finished is not None:
        return finished
    with only_run(folder, group, control, launch) as token:
        # Another run may have finished while this one waited.
        finished = finished_result(config, folder, source.digest, group, takedowns_of(source))
        if finished is not None:
            return finished
        run = _Run(config, folder, source, group, control, token, on_progress, on_checkpoint)
        resumed_from = run.resume()
        run.train(begun=resumed_from or 0)
        bundle_id, final_loss = run.publish(), run.metrics.get("train/loss")
    return TrainResult(bundle_id, folder.bundle, config.train.steps, final_loss, resumed_from)


class _Run:
    """One process's part of a run, from initial weights to the bundle.

    Attributes:
        metrics: those of the newest journal line; empty before the first.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        source: BatchSource,
        group: ProcessGroup,
        control: RunControl,
        token: Token,
        on_progress: OnProgress | None,
        on_checkpoint: OnCheckpoint | None,
    ) -> None:
        logger.info("process %d of %d, pid %d", group.rank, group.size, os.getpid())
        control.enter(Phase.LOADING_WEIGHTS)
        self._config, self._folder, self._source, self._group = config, folder, source, group
        self._control, self._token = control, token
        self._on_progress, self._on_checkpoint = on_progress, on_checkpoint
        # Reading the bundles' files once a machine is enough; none of its processes starts with damaged ones.
        self._animator, initialisation = group.together(
            lambda: initialise(config, verify=group.is_first_on_node)
        )
        group.together(lambda: source.check_encoders(self._animator))
        self._journal = group.together(lambda: Journal(folder.journal if group.is_first else None, token))
        trainable = group.together(lambda: trainable_names(config, list(initialisation.transfers)))
        objective = DenoisingObjective(self._animator)
        self._backend = DeepSpeedBackend(
            self._animator, objective, trainable, initialisation.weights, config, group
        )
        # What is trained is in the backend now; what is frozen is published, by the first process.
        frozen = set(initialisation.weights) - set(trainable)
        self._initialisation = initialisation.only(frozen if group.is_first else ())
        decay = config.train.ema_decay
        self._ema = Ema(self._backend.fragments(), decay, group.rank) if decay else None
        self._states: list[Stateful] = [self._backend, *([self._ema] if self._ema else [])]
        self._continuation = group.together(lambda: find_continuation(config, verify=group.is_first_on_node))
        self._checkpoints = CheckpointStore(
            folder.checkpoints,
            self._identity(),
            group,
            config.train.keep_checkpoints,
            token,
            takedowns_of(source),
        )
        self._validation = Validation(config, folder, source, self._animator, group, self._journal, control)
        self._skipped = SkippedSteps(config.train.max_skipped, self._journal, folder.checkpoints)
        self.metrics: dict[str, float] = {}

    def _identity(self) -> CheckpointIdentity:
        return CheckpointIdentity(
            trajectory=trajectory_hash(self._config),
            dataset=self._source.digest,
            base=self._initialisation.base,
            parent=self._initialisation.parent,
            world_size=self._group.size,
            continued=self._continuation.digest if self._continuation else None,
        )

    def resume(self) -> int | None:
        """Continue from the newest checkpoint; its step, or None without one. Collective."""
        self._control.enter(Phase.READING_CHECKPOINT)
        steps = self._config.train.steps
        return resume(self._checkpoints, self._states, steps, self._continuation, self._journal, self._group)

    def train(self, begun: int) -> None:
        """All steps after ``begun``."""
        environment, warnings = gathered_environment(self._group, self._backend.device)
        self._group.together(lambda: self._announce(begun, environment, warnings))
        config, group, control = self._config.train, self._group, self._control
        self._stop_if_asked(begun, saved=True, signum=group.largest_later(control.stop_signal)())
        batches = self._source.batches(group.rank, group.size, begun, config.global_batch)
        meter = StepMeter()
        for step in range(begun + 1, config.steps + 1):
            stop_signal = group.largest_later(control.stop_signal)
            control.enter(Phase.WAITING_FOR_DATA, step)
            with meter.throughput.waiting():
                batch = next(batches)
            control.enter(Phase.TRAINING, step)
            result = self._backend.train_step(batch, step, temporal=not is_image_step(self._config, step))
            meter.count(result, clips=len(batch) * group.size)
            self._skipped.count(result, batch, step)
            if self._ema is not None and result.applied:
                self._ema.update(self._backend.fragments(), step)
            if step % config.log_every == 0 or step == config.steps:
                self.metrics = meter.report(self._backend.skipped_steps)
                self.metrics |= peak_memory(self._backend.device, group)
                self._journal.record(step, events.Metrics(self.metrics))
                logger.info("step %d of %d, loss %.4f", step, config.steps, self.metrics["train/loss"])
            with meter.throughput.paused():
                # First the checkpoint: whatever happens in validation, a restart begins after this step.
                saved = self._save_if_due(step)
                self._stop_if_asked(step, saved, signum=stop_signal())
                self._validation.run(step, self._whole_weights)
            if self._on_progress is not None:
                self._on_progress(step, config.steps, self.metrics)

    def publish(self) -> str:
        """Write the bundle; its id. Collective."""
        steps = self._config.train.steps
        self._control.enter(Phase.WRITING_BUNDLE, steps)
        weights = self._whole_weights()
        bundle_id = self._group.from_first(self._group.together(lambda: self._write_bundle(weights)))
        self._journal.record(steps, events.BundleWritten(path=str(self._folder.bundle), id=bundle_id))
        self._journal.record(steps, events.Ended())
        self._journal.close()
        return bundle_id

    def _write_bundle(self, weights: Mapping[str, Tensor]) -> str:
        config, folder, source = self._config, self._folder, self._source
        if not self._group.is_first:
            return ""
        # An earlier attempt can have reached its end just before this one took over.
        bundle = finished_bundle(config, folder, source.digest)
        if bundle is not None:
            return bundle.id
        check = self._token.check
        with superseding(self._token):
            return publish(folder, weights, config, self._initialisation, source, self._continuation, check)

    def _announce(self, begun: int, environment: Environment, warnings: Sequence[str]) -> None:
        if not self._group.is_first:
            return
        with superseding(self._token):
            remove_partials(self._folder.path, before=self._token.check)
            write_text(self._folder.config, dump_yaml(self._config))
            write_text(self._folder.environment, environment.as_json().decode())
        begin = started(
            self._config,
            self._initialisation,
            self._backend.trainable,
            self._source,
            workers=self._group.size,
            device=str(self._backend.device),
        )
        self._journal.record(begun, begin)
        self._journal.record(begun, surroundings(environment))
        for warning in warnings:
            self._journal.record(begun, events.Warned(warning))

    def _stop_if_asked(self, step: int, saved: bool, signum: int) -> None:
        """End the run with a checkpoint of ``step`` where a signal asked for it. Collective.

        Args:
            saved: whether the checkpoint of this step exists.
            signum: the signal, as agreed by all processes; 0 for none.

        Raises SupersededError, without a checkpoint, where a later attempt has begun.
        """
        if not signum:
            return
        if signum == SUPERSEDED:
            self._group.together(self._token.check)
        if not saved:
            self._save(step)
        self._journal.record(step, events.Stopped(signum))
        self._journal.close()
        raise StoppedBySignal(signum, step)

    def _save_if_due(self, step: int) -> bool:
        train = self._config.train
        due = step % train.checkpoint_every == 0 or step == train.steps
        if due:
            self._save(step)
        return due

    def _save(self, step: int) -> None:
        self._control.enter(Phase.SAVING_CHECKPOINT, step)
        began = time.perf_counter()
        saved = self._checkpoints.save(step, self._states)
        seconds = time.perf_counter() - began
        self._journal.record(step, events.CheckpointSaved(str(saved.path), saved.digest, seconds))
        if self._on_checkpoint is not None:
            self._on_checkpoint(step, saved.path)

    def _whole_weights(self) -> dict[str, Tensor]:
        """The whole network in the first process (averaged weights where they are kept). Collective."""
        trained = self._backend.gather(self._ema.values if self._ema is not None else None)
        return self._initialisation.with_trained(trained) if self._group.is_first else {}
