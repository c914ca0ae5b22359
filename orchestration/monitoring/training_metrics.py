"""The metrics of a training run."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.monitoring.prometheus import Definition, Kind, Value
from orchestration.monitoring.training_state import TrainingState

_PREFIX = "animatic_training"
_Read = Callable[[TrainingState], Value]


def _gauge(
    name: str, help_text: str, value: _Read, labels: tuple[str, ...] = ()
) -> Definition[TrainingState]:
    return Definition(f"{_PREFIX}_{name}", Kind.GAUGE, help_text, value, labels)


def _counter(name: str, help_text: str, value: _Read) -> Definition[TrainingState]:
    return Definition(f"{_PREFIX}_{name}_total", Kind.COUNTER, help_text, value)


def _figure(name: str) -> _Read:
    """The newest value of a figure of the journal; NaN where it was not finite."""
    return lambda state: state.figures.get(name)


def _by(prefix: str, suffix: str = "") -> _Read:
    """The newest values of figures, by what is between prefix and suffix of their names."""

    def read(state: TrainingState) -> dict[tuple[str, ...], float]:
        return {
            (name.removeprefix(prefix).removesuffix(suffix),): value
            for name, value in state.figures.items()
            if name.startswith(prefix) and name.endswith(suffix)
        }

    return read


def _loss_by_quantile(state: TrainingState) -> dict[tuple[str, ...], float]:
    prefix = "validation/loss_q"
    values = state.validation.items()
    return {(name.removeprefix(prefix),): value for name, value in values if name.startswith(prefix)}


# What identifies the run is a label of one metric: others are joined with it on job and instance.
TRAINING: tuple[Definition[TrainingState], ...] = (
    _gauge(
        "info",
        "The run, as labels; the value is 1.",
        lambda state: {(state.run.name, str(state.run.stage), state.run.preset): 1},
        ("run", "stage", "preset"),
    ),
    _gauge("planned_steps", "Steps of the whole run.", lambda state: state.run.steps),
    _gauge("planned_workers", "Workers that the run asks for.", lambda state: state.run.workers),
    _gauge("step", "Steps done, of the whole run; goes back where it resumes.", lambda state: state.step),
    _counter(
        "steps", "Steps done by this command, with repeated ones.", lambda state: state.steps_since_start
    ),
    _gauge("loss", "Mean loss of the steps since the last value.", _figure("train/loss")),
    _gauge(
        "quarter_loss",
        "The same by quarter of the noise schedule, from little noise to much.",
        _by("train/loss_q"),
        ("quarter",),
    ),
    _gauge("learning_rate", "Learning rate of the last step.", _figure("train/lr")),
    _gauge("gradient_norm", "Norm of the gradients of the last step, unclipped.", _figure("train/grad_norm")),
    _gauge("loss_scale", "Factor on the loss, of fp16.", _figure("train/loss_scale")),
    _gauge("step_seconds", "Mean time of a step.", _figure("throughput/step_s")),
    _gauge("phase_seconds", "The same by phase, of the first worker.", _by("time/", "_s"), ("phase",)),
    _gauge("clips_per_second", "Clips of all workers per second.", _figure("throughput/clips_per_s")),
    _gauge(
        "device_clips_per_second",
        "Clips of each worker per second, on average.",
        _figure("throughput/clips_per_s_per_device"),
    ),
    _gauge(
        "mfu_ratio",
        "Share of the devices' peak arithmetic that the network's passes used.",
        _figure("throughput/mfu"),
    ),
    _counter(
        "data_failures",
        "Samples that could not be decoded and were replaced, of all workers.",
        lambda state: state.data_failures,
    ),
    _gauge(
        "data_wait_ratio",
        "Share of the time in which the first worker waited for data.",
        _figure("throughput/data_wait"),
    ),
    _gauge(
        "gpu_memory_allocated_bytes",
        "Memory of torch's tensors on a GPU, of the worker with the most.",
        _figure("memory/allocated_bytes"),
    ),
    _gauge(
        "gpu_memory_reserved_bytes",
        "Memory that torch's allocator has reserved on a GPU, of the worker with the most.",
        _figure("memory/reserved_bytes"),
    ),
    _gauge(
        "memory_resident_bytes",
        "Memory of the worker with the most, where workers have no GPU.",
        _figure("memory/resident_bytes"),
    ),
    _gauge(
        "gpu_memory_peak_bytes",
        "Most memory that torch has allocated on a GPU, of the worker with the most.",
        _figure("memory/peak_bytes"),
    ),
    _gauge(
        "validation_loss",
        "Denoising loss of fixed clips at fixed timesteps and noise, newest value.",
        lambda state: state.validation.get("validation/loss"),
    ),
    _gauge(
        "validation_quantile_loss",
        "The same by quantile of timesteps, from little noise to much.",
        _loss_by_quantile,
        ("quantile",),
    ),
    _gauge("remaining_seconds", "Estimated seconds until the last step.", lambda state: state.remaining_s),
    _counter("skipped_steps", "Steps skipped for their loss or gradients.", lambda state: state.skipped),
    _counter(
        "rollbacks",
        "Times that the run went back to a checkpoint after skipped steps.",
        lambda state: state.rollbacks,
    ),
    _counter("warnings", "Warnings in the journal, skipped steps included.", lambda state: state.warnings),
    _counter(
        "restarts",
        "Times that all workers were started again by this command.",
        lambda state: max(0, state.starts - 1),
    ),
    _counter("samples", "Validation samples drawn by this command.", lambda state: state.samples),
    _gauge(
        "start_timestamp_seconds",
        "When the workers began their first step, in seconds since 1970.",
        lambda state: state.started_at,
    ),
    _gauge(
        "progress_timestamp_seconds",
        "When the newest figures were recorded, in seconds since 1970.",
        lambda state: state.figures_at,
    ),
    _gauge(
        "checkpoint_timestamp_seconds",
        "When the newest checkpoint was written, or read to resume, in seconds since 1970.",
        lambda state: state.checkpoint_at,
    ),
    _gauge(
        "checkpoint_seconds",
        "Time that writing the newest checkpoint took; training waits.",
        lambda state: state.checkpoint_s,
    ),
    _gauge("checkpoint_step", "Step of the newest checkpoint.", lambda state: state.checkpoint_step),
    _gauge(
        "worker_heartbeat_age_seconds",
        "Since the worker's last sign of life.",
        lambda state: {(str(rank), host): sign.age_s for (rank, host), sign in state.heartbeats.items()},
        ("rank", "host"),
    ),
    _gauge(
        "worker_step",
        "Step that the worker is in, by its last sign of life; 0 before the first.",
        lambda state: {(str(rank), host): sign.step for (rank, host), sign in state.heartbeats.items()},
        ("rank", "host"),
    ),
    _counter(
        "hangs",
        "Times that all workers were ended because none of them progressed any more.",
        lambda state: state.hangs,
    ),
    _gauge(
        "stalled_seconds",
        "For how long the run has waited for workers longer than it should; 0 while it progresses.",
        lambda state: state.stalled_s,
    ),
)
