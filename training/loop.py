"""The training loop: one for all stages, the same under Ray Train, torchrun and in a single process."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from core.errors import AnimaticError
from core.files import remove_partials, write_text
from models.batch import Batch
from training.backends.deepspeed import Engine, StepResult, batch_shares, learning_rate
from training.backends.ema import Ema
from training.batch_source import BatchSource, DatasetSource
from training.checkpoints import store
from training.config import RunConfig, dump_yaml
from training.config.identity import config_hash, trajectory_hash
from training.initialisation.build import Initialisation, build
from training.observe import Journal, Throughput
from training.process_group import ProcessGroup, join_process_group
from training.publish import merge, publish, published
from training.trainable import trainable_names
from training.validation import draw_samples

OnProgress = Callable[[int, int, Mapping[str, float]], None]
OnCheckpoint = Callable[[int, Path], None]


@dataclass(frozen=True)
class TrainResult:
    """A finished stage. ``final_loss`` is None when there was nothing left to train."""

    bundle_id: str
    bundle_path: Path
    steps: int
    final_loss: float | None
    resumed_from: int | None


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    source: BatchSource | None = None,
    on_progress: OnProgress | None = None,
    on_checkpoint: OnCheckpoint | None = None,
) -> TrainResult:
    """Train a stage to its bundle; called in every process.

    Resumes from the newest whole checkpoint of ``run_dir``; a run that is finished returns at once.

    Args:
        run_dir: on a file system that all processes share.
        source: batches in place of ``config.data.dataset``.
        on_progress: called in every process after each step with (step, steps, newest metrics).
        on_checkpoint: called in every process with (step, folder) when a checkpoint is complete.

    Raises AnimaticError for what the user can mend: missing or damaged bundles, another world size than
    the checkpoint's, a run folder of another configuration, losses that stay non-finite.
    """
    source = source or DatasetSource(config)
    finished = published(config, run_dir, source.digest)
    if finished is not None:
        return TrainResult(finished.id, finished.folder, config.train.steps, None, config.train.steps)
    world = join_process_group(gpu=config.launch.gpus_per_worker > 0)
    batch_shares(config, world.size)
    return _Run(config, run_dir, source, world, on_progress, on_checkpoint).train()


def leaves_time_out(config: RunConfig, step: int) -> bool:
    """Whether a step of stage 0 trains on single images (temporal layers left out): a hash of the step."""
    if not config.train.image_batches:
        return False
    digest = hashlib.sha256(f"image step {config.seed} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < config.train.image_batches


class _Run:
    """One process's part of a run, from initial weights to the bundle."""

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        source: BatchSource,
        world: ProcessGroup,
        on_progress: OnProgress | None,
        on_checkpoint: OnCheckpoint | None,
    ) -> None:
        self.config, self.run_dir, self.source, self.world = config, run_dir, source, world
        self.on_progress, self.on_checkpoint = on_progress, on_checkpoint
        self.checkpoints = run_dir / "checkpoints"
        self.first = world.rank == 0
        self.animator, self.initialisation = build(config)
        if isinstance(source, DatasetSource):
            source.check(self.animator)
        self.trainable = trainable_names(config, list(self.initialisation.transfers))
        self.journal = Journal(run_dir / "journal.jsonl" if self.first else None)
        self.engine = Engine(self.animator, self.trainable, self.initialisation.weights, config)
        # What is trained is in the engine now; what is frozen is published, from the first process.
        frozen = set(self.initialisation.weights) - set(self.trainable)
        self.initialisation = self.initialisation.only(frozen if self.first else ())
        decay = config.train.ema_decay
        self.ema = Ema(self.engine.fragments(), decay) if decay else None
        self.metrics: dict[str, float] = {}
        self.losses: list[Tensor] = []
        self.skipped_in_a_row = 0
        self.identity = _identity(config, world, self.initialisation, source.digest)

    def train(self) -> TrainResult:
        """The stage, top to bottom."""
        resumed_from = self._resume()
        begun = resumed_from or 0
        if self.first:
            _write_config(self.config, self.run_dir)
        self._announce(begun)
        self._loop(begun)
        bundle_id = self._publish()
        self.journal.append("end", self.config.train.steps)
        self.journal.close()
        return TrainResult(
            bundle_id,
            self.run_dir / "bundle",
            self.config.train.steps,
            self.metrics.get("train/loss"),
            resumed_from,
        )

    def _loop(self, begun: int) -> None:
        train = self.config.train
        batches = self.source.batches(self.world.rank, self.world.size, begun, train.global_batch)
        watch, logged, clips = Throughput(), begun, 0
        for step in range(begun + 1, train.steps + 1):
            with watch.waiting():
                batch = next(batches)
            result = self.engine.train_step(batch, step, temporal=not leaves_time_out(self.config, step))
            self._guard(result, batch, step)
            clips += len(batch) * self.world.size
            if self.ema is not None and result.applied:
                self.ema.update(self.engine.fragments(), step)
            if step % train.log_every == 0 or step == train.steps:
                self._log(result, step, watch.report(step - logged, clips))
                logged, clips = step, 0
            with watch.paused():
                self._validate(step)
                self._checkpoint(step)
            if self.on_progress is not None:
                self.on_progress(step, train.steps, self.metrics)

    def _guard(self, result: StepResult, batch: Batch, step: int) -> None:
        """Skipped steps are told; too many in a row end the run, on every rank at the same step."""
        if result.applied:
            self.skipped_in_a_row = 0
            self.losses.append(result.loss)
            return
        self.skipped_in_a_row += 1
        self.journal.append("warning", step, message="step skipped: gradients not finite", keys=batch.keys)
        if self.skipped_in_a_row >= self.config.train.max_skipped:
            raise AnimaticError(
                f"gradients were not finite in {self.skipped_in_a_row} steps in a row, up to step {step}: "
                "lower optimizer.lr or lengthen optimizer.warmup_steps, then resume"
            )

    def _log(self, result: StepResult, step: int, throughput: Mapping[str, float]) -> None:
        """One journal line: the loss is the mean over applied steps since the last line."""
        self.metrics = {
            "train/loss": float(torch.stack(self.losses or [result.loss]).mean()),
            "train/lr": learning_rate(self.config, step),
            "train/grad_norm": result.grad_norm,
            "train/skipped_steps": float(self.engine.skipped_steps),
            **throughput,
        }
        self.losses.clear()
        self.journal.append("metrics", step, metrics=self.metrics)

    def _validate(self, step: int) -> None:
        """Rank 0 draws samples from gathered weights; nobody waits inside a collective for its failure."""
        every = self.config.validation.every
        if not every or step % every:
            return
        weights = self._consolidated()
        if self.first:
            folder = self.run_dir / "samples"
            try:
                still = self.source.first(self.config.validation.count)
                written = draw_samples(self.animator, weights, still, self.config, folder, step)
            except (AnimaticError, RuntimeError, OSError, ValueError) as error:
                # Out of memory, disk full, unreadable stills: no reason to lose the training.
                self.journal.append("warning", step, message=f"no validation samples: {error}")
            else:
                for path, prompt in written:
                    self.journal.append(
                        "sample", step, path=str(path.relative_to(self.run_dir)), prompt=prompt
                    )
        dist.barrier()

    def _checkpoint(self, step: int) -> None:
        train = self.config.train
        if step % train.checkpoint_every and step != train.steps:
            return
        saved = store.save(
            self.checkpoints, step, self.engine, self.ema, self.identity, train.keep_checkpoints
        )
        self.journal.append("checkpoint", step, uri=str(saved.path), digest=saved.digest)
        if self.on_checkpoint is not None:
            self.on_checkpoint(step, saved.path)

    def _resume(self) -> int | None:
        """Load the newest whole checkpoint; its step, or None where there is none."""
        saved = None
        if self.first:
            store.clean(self.checkpoints)
            saved = store.newest(
                self.checkpoints, lambda text: self.journal.append("warning", 0, message=text)
            )
        saved = _from_first(saved)
        if saved is None:
            return None
        store.load(saved, self.engine, self.ema, self.identity)
        self.journal.append("resume", saved.step, uri=str(saved.path), digest=saved.digest)
        return saved.step

    def _announce(self, begun: int) -> None:
        self.journal.append(
            "start",
            begun,
            config_hash=config_hash(self.config),
            stage=self.config.stage,
            preset=self.config.preset,
            steps=self.config.train.steps,
            workers=self.world.size,
            device=str(self.engine.device),
            parameters=len(self.initialisation.transfers),
            trainable=len(self.trainable),
            dataset_digest=self.source.digest,
            base=self.initialisation.base,
            parent=self.initialisation.parent,
        )

    def _consolidated(self) -> dict[str, Any]:
        """The whole network on rank 0 (averaged weights where there are any). Collective."""
        trained = self.engine.gather(self.ema.values if self.ema is not None else None)
        return merge(self.initialisation, trained) if self.first else {}

    def _publish(self) -> str:
        weights = self._consolidated()
        bundle_id = None
        if self.first:
            folder = self.run_dir / "bundle"
            bundle_id = publish(
                folder,
                self.animator,
                weights,
                self.config,
                self.initialisation,
                self.source.digest,
                self.run_dir / "journal.jsonl",
            )
            self.journal.append("bundle", self.config.train.steps, path=str(folder), id=bundle_id)
        return _from_first(bundle_id)


def _identity(
    config: RunConfig, world: ProcessGroup, initialisation: Initialisation, dataset_digest: str
) -> dict[str, Any]:
    """What two runs must share for one to continue the other's checkpoints."""
    return {
        "trajectory": trajectory_hash(config),
        "dataset": dataset_digest,
        "base": initialisation.base,
        "parent": initialisation.parent,
        "world_size": world.size,
    }


def _write_config(config: RunConfig, run_dir: Path) -> None:
    remove_partials(run_dir)
    write_text(run_dir / "config.yaml", dump_yaml(config))


def _from_first(value: Any) -> Any:
    """Rank 0's value, on every rank. Collective."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
