"""One real step in a run's own processes, at a small size: what would fail in the first minutes of a run.

Launcher, processes, ZeRO stage, precision, bundles, network, encoders and data are the run's. Smaller are:
the clips (:data:`FRAMES` frames), the samples of a pass (one), and the passes (:data:`PASSES`). Left out are
buckets, validation, uploads, checkpoints and the bundle.
"""

import logging
import time
from pathlib import Path

import torch

from training.backends import StepResult
from training.batch_shares import batch_shares
from training.batch_source import BatchSource, open_patiently
from training.config import RunConfig, validate
from training.control import Phase, RunControl, collective_timeout_s
from training.heartbeats.session import heartbeats, waits_of
from training.image_steps import is_image_step
from training.parts import Parts, assemble
from training.processes.group import ProcessGroup, join_process_group
from training.processes.preflight import Setup, check_equal_setups
from training.result import DryRunResult
from training.run_folder import RunFolder
from training.run_lock import only_run

logger = logging.getLogger(__name__)

FRAMES, PASSES = 2, 2


def reduced(config: RunConfig) -> RunConfig:
    """The configuration of a dry run. Raises AnimaticError where the processes cannot share the batch."""
    workers, frames = config.launch.workers, min(config.model.frames, FRAMES)
    passes = min(batch_shares(config, workers).passes, PASSES)
    values = config.model_dump(mode="json")
    values["model"]["frames"] = values["data"]["sampling"]["frames"] = frames
    if values["model"]["context"] and values["model"]["context"]["frames"] is not None:
        values["model"]["context"]["frames"] = frames
    values["data"]["buckets"] = []
    values["train"] |= {"steps": 1, "global_batch": workers * passes, "micro_batch": 1, "log_every": 1}
    values["train"] |= {"ema_start": 0}
    values["optimizer"] |= {"schedule": "constant", "final_lr": 0.0, "decay_steps": None}
    values["validation"] |= {"loss_every": 0, "every": 0, "data": None}
    values["observe"]["profile"] = None
    values["upload"]["url"] = None
    values["init"]["checkpoint"] = None
    values["launch"]["restarts"] = 0
    return validate(values)


def dry_run(
    config: RunConfig, run_dir: Path, *, control: RunControl | None = None, launch: int | None = None
) -> DryRunResult:
    """One step of a :func:`reduced` configuration; called in every process.

    Args:
        run_dir: a temporary folder on a file system that all processes share: for logs and the lock.
        control, launch: as of :func:`training.loop.train`.

    Raises AnimaticError and StoppedBySignal as :func:`training.loop.train` does.
    """
    control, began = control or RunControl(), time.perf_counter()
    hang_s = config.launch.hang_s
    with control.handling_signals(), heartbeats(control, run_dir, hang_s, launch, waits_of(config)):
        gpu, timeout_s = config.launch.gpus_per_worker > 0, collective_timeout_s(hang_s)
        group = join_process_group(gpu=gpu, timeout_s=timeout_s)
        source = group.together(lambda: open_patiently(config))
        check_equal_setups(Setup.of(config, source.digest), group)
        folder = RunFolder(run_dir)
        with only_run(folder, group, control, launch) as token:
            control.enter(Phase.LOADING_WEIGHTS)
            parts = assemble(config, folder, source, group, control, token)
            prepared = time.perf_counter() - began
            result = _step(config, parts, source, group, control)
            parts.journal.close()
            return _report(config, parts, group, result, prepared)


def _step(
    config: RunConfig, parts: Parts, source: BatchSource, group: ProcessGroup, control: RunControl
) -> StepResult:
    batches = source.batches(group.rank, group.size, 0, config.train.global_batch)
    parts.clock.reset()
    control.enter(Phase.WAITING_FOR_DATA, 1)
    with parts.clock.phase("data"):
        batch = group.together(lambda: next(batches))
    control.enter(Phase.TRAINING, 1)
    result = parts.backend.train_step(batch, 1, temporal=not is_image_step(config, 1))
    if parts.ema is not None and result.applied:
        parts.ema.update(parts.backend.fragments(), 1)
    return result


def _report(
    config: RunConfig, parts: Parts, group: ProcessGroup, result: StepResult, prepared: float
) -> DryRunResult:
    device, peak = parts.backend.device, None
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # the clock reports what the GPU has done
        peak = group.largest_later(torch.cuda.max_memory_allocated(device))()
    return DryRunResult(
        processes=group.size,
        device=device.type,
        trained_tensors=len(parts.backend.trainable),
        samples=config.train.global_batch,
        frames=1 if config.data.sampling.images_only else config.model.frames,
        loss=float(result.loss),
        applied=result.applied,
        prepared_s=prepared,
        phases=parts.clock.report().phases,
        peak_bytes=peak,
    )
