"""The training loop: one for all stages, the same under Ray Train, torchrun and in a single process."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from core.errors import AnimaticError
from core.fencing import Token, superseding
from core.files import remove_partials, write_text
from models.batch import Batch
from training import events
from training.announcement import fewer_workers, started, surroundings
from training.batch_shares import batch_shares
from training.batch_source import BatchSource, open_patiently, takedowns_of
from training.config import RunConfig, dump_yaml
from training.control import Phase, RunControl, collective_timeout_s
from training.guard import RollBack
from training.heartbeats.session import Heartbeats, heartbeats, record_hang, waits_of
from training.image_steps import is_image_step
from training.observe import EngineState
from training.parts import assemble
from training.processes.environment import Environment, gathered_environment
from training.processes.group import ProcessGroup, join_process_group
from training.processes.preflight import Setup, check_equal_setups
from training.publish import Training, finished_bundle, finished_result, publish
from training.result import TrainResult
from training.resuming import Resuming
from training.run_folder import RunFolder
from training.run_lock import only_run
from training.saving import OnCheckpoint, Saving
from training.upload.run_files import uploading

logger = logging.getLogger(__name__)

__all__ = ["TrainResult", "train"]

OnProgress = Callable[[int, int, Mapping[str, float]], None]


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
    checkpoint: torchrun, Slurm and Kubernetes send SIGTERM. So do SIGUSR1 and SIGUSR2, the warnings of
    schedulers.

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
    process with exit code 128 + signal, or 75 after a warning. Where no process has progressed for
    ``launch.hang_s``, all end with exit code 75, without returning.
    """
    control = control or RunControl()
    hang_s, waits = config.launch.hang_s, waits_of(config)
    with control.handling_signals(), heartbeats(control, run_dir, hang_s, launch, waits) as beating:
        return _train(config, run_dir, source, on_progress, on_checkpoint, control, launch, beating)


def _train(
    config: RunConfig,
    run_dir: Path,
    source: BatchSource | None,
    on_progress: OnProgress | None,
    on_checkpoint: OnCheckpoint | None,
    control: RunControl,
    launch: int | None,
    beating: Heartbeats,
) -> TrainResult:
    folder = RunFolder(run_dir)
    timeout_s = collective_timeout_s(config.launch.hang_s)
    group = join_process_group(gpu=config.launch.gpus_per_worker > 0, timeout_s=timeout_s)
    source = source or group.together(lambda: open_patiently(config))
    check_equal_setups(Setup.of(config, source.digest), group)
    # Refuses what cannot be shared before anything is loaded.
    group.together(lambda: batch_shares(config, group.size))
    finished = finished_result(config, folder, source.digest, group, takedowns_of(source))
    if finished is not None:
        return finished
    with (
        only_run(folder, group, control, launch, config) as token,
        uploading(config, folder, group, token) as notices,
    ):
        beating.hold(token)
        # Another run may have finished while this one waited.
        finished = finished_result(config, folder, source.digest, group, takedowns_of(source))
        if finished is not None:
            return finished
        run = _Run(config, folder, source, group, control, token, notices, on_progress, on_checkpoint)
        with run.saving():
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
        notices: Callable[[], Sequence[str]],
        on_progress: OnProgress | None,
        on_checkpoint: OnCheckpoint | None,
    ) -> None:
        """``notices``: warnings of other threads since the last call, for the journal."""
        logger.info("process %d of %d, pid %d", group.rank, group.size, os.getpid())
        control.enter(Phase.LOADING_WEIGHTS)
        self._config, self._folder, self._source, self._group = config, folder, source, group
        self._control, self._token, self._on_progress = control, token, on_progress
        self._notices = notices
        self._parts = assemble(config, folder, source, group, control, token)
        self._saving = Saving(config, self._parts, group, control, token, on_checkpoint)
        self.metrics: dict[str, float] = {}

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Inside, a checkpoint in progress is waited for where an error ends the run."""
        try:
            yield
        except BaseException:
            self._saving.abandon()
            raise

    def resume(self, before: int | None = None) -> int | None:
        """Continue from the newest checkpoint, of an earlier step than ``before``; its step, or None without
        one. Collective."""
        self._control.enter(Phase.READING_CHECKPOINT)
        parts = self._parts
        resuming = Resuming(
            parts.checkpoints, parts.states, parts.continuation, parts.journal, self._group, parts.uploads
        )
        return resuming.resume(self._config.train.steps, before, lambda: self._control.progress("download"))

    def train(self, begun: int) -> None:
        """All steps after ``begun``."""
        environment, warnings = gathered_environment(self._group, self._parts.backend.device)
        self._group.together(lambda: self._announce(begun, environment, warnings))
        signum = self._group.largest_later(self._control.stop_signal)()
        self._saving.stop_if_asked(begun, saved=True, signum=signum)
        while True:
            try:
                return self._train_from(begun)
            except RollBack as back:
                begun = self._roll_back(back)

    def _roll_back(self, back: RollBack) -> int:
        """Go back to the newest checkpoint of before the skipped steps; its step. Collective."""
        guard, checkpoints, journal = self._parts.guard, self._parts.checkpoints, self._parts.journal
        self._saving.finish()
        # First: a run that is killed meanwhile must not find them in its store.
        self._saving.discard_from(back.before)
        begun = self.resume(back.before)
        if begun is None:
            raise AnimaticError(guard.without_checkpoint(back))
        guard.go_on(back)
        checkpoints.delete_after(begun)
        journal.record(begun, events.RolledBack(from_step=back.step, data_round=back.data_round))
        logger.info("went back from step %d to %d, round %d of the data", back.step, begun, back.data_round)
        return begun

    def _train_from(self, begun: int) -> None:
        config, group, parts = self._config.train, self._group, self._parts
        batches = self._source.batches(
            group.rank, group.size, begun, config.global_batch, parts.guard.data_round
        )
        parts.meter.begin()
        for step in range(begun + 1, config.steps + 1):
            stop_signal = group.largest_later(self._control.stop_signal)
            with parts.profiler.step(step):
                self._step(step, batches)
            if step % config.log_every == 0 or step == config.steps:
                self._report(step)
            with parts.clock.phase("save"):
                saved = self._saving.save_if_due(step)
                if parts.validation.is_due(step):
                    # Whatever happens in validation, a restart begins after the newest checkpoint.
                    self._saving.finish()
            self._saving.stop_if_asked(step, saved, signum=stop_signal())
            with parts.clock.paused():
                parts.validation.run(step, parts.whole_weights)
            if self._on_progress is not None:
                self._on_progress(step, config.steps, self.metrics)

    def _step(self, step: int, batches: Iterator[Batch]) -> None:
        """One optimizer step. Raises as :meth:`training.guard.Guard.count`."""
        control, parts = self._control, self._parts
        control.enter(Phase.WAITING_FOR_DATA, step)
        with parts.clock.phase("data"):
            batch = next(batches)
        control.enter(Phase.TRAINING, step)
        temporal = not is_image_step(self._config, step)
        result = parts.backend.train_step(batch, step, limit=parts.guard.limit, temporal=temporal)
        parts.meter.count(result, batch, temporal=temporal)
        parts.guard.count(result, batch, step)
        if parts.ema is not None and result.applied:
            with parts.clock.phase("optimizer"):
                parts.ema.update(parts.backend.fragments(), step)

    def _report(self, step: int) -> None:
        """Write the metrics of the steps since the last report to the journal. Collective."""
        backend, journal = self._parts.backend, self._parts.journal
        self.metrics = self._parts.meter.report(EngineState(backend.skipped_steps, backend.loss_scale))
        self.metrics |= self._saving.figures()
        journal.record(step, events.Metrics(self.metrics))
        for notice in self._notices():
            journal.record(step, events.Warned(notice))
        logger.info("step %d of %d, loss %.4f", step, self._config.train.steps, self.metrics["train/loss"])

    def publish(self) -> str:
        """Write the bundle; its id. Collective."""
        steps, journal = self._config.train.steps, self._parts.journal
        self._control.enter(Phase.WRITING_BUNDLE, steps)
        weights = self._parts.whole_weights()
        bundle_id = self._group.from_first(self._group.together(lambda: self._write_bundle(weights)))
        journal.record(steps, events.BundleWritten(path=str(self._folder.bundle), id=bundle_id))
        self._saving.finish_uploads(steps)
        journal.record(steps, events.Ended())
        journal.close()
        return bundle_id

    def _write_bundle(self, weights: Mapping[str, Tensor]) -> str:
        config, folder, source, parts = self._config, self._folder, self._source, self._parts
        if not self._group.is_first:
            return ""
        # An earlier attempt can have reached its end just before this one took over.
        bundle = finished_bundle(config, folder, source.digest)
        if bundle is not None:
            return bundle.id
        check = self._token.check
        training = Training(
            config,
            parts.initialisation,
            source,
            step=config.train.steps,
            averaged=parts.ema is not None and parts.ema.values is not None,
            continuation=parts.continuation,
        )
        with superseding(self._token):
            return publish(folder, weights, training, check)

    def _announce(self, begun: int, environment: Environment, warnings: Sequence[str]) -> None:
        if not self._group.is_first:
            return
        with superseding(self._token):
            remove_partials(self._folder.path, before=self._token.check)
            remove_partials(self._folder.profile, before=self._token.check)
            write_text(self._folder.config, dump_yaml(self._config))
            write_text(self._folder.environment, environment.as_json().decode())
        config, parts, size = self._config, self._parts, self._group.size
        journal, trained, device = parts.journal, parts.backend.trainable, str(parts.backend.device)
        begin = started(config, parts.initialisation, trained, self._source, workers=size, device=device)
        record_hang(self._folder.path, journal, begun, size)
        journal.record(begun, begin)
        journal.record(begun, surroundings(environment))
        fewer = fewer_workers(config, size)
        for warning in [*warnings, *([fewer] if fewer else [])]:
            journal.record(begun, events.Warned(warning))
