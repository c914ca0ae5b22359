"""The dashboard of training runs."""

from orchestration.monitoring.dashboards.cluster import GPU_ROW, NODES, RAY_ROW
from orchestration.monitoring.dashboards.grafana import Dashboard, Kind, Panel, Query, Row, Variable

_RUN = '* on (job, instance) group_left (run) animatic_training_info{run=~"$run"}'


def _of_runs(expression: str, legend: str = "{{run}}") -> tuple[Query, ...]:
    """The expression for each chosen run, with the run as a label."""
    return (Query(f"{expression} {_RUN}", legend),)


def _number(title: str, description: str, unit: str, expression: str) -> Panel:
    return Panel(title, description, unit, _of_runs(expression), Kind.NUMBER, width=4, height=4, low=None)


_STATE = Row(
    "Runs",
    (
        _number(
            "Progress",
            "Steps done, of those planned.",
            "percentunit",
            "animatic_training_step / animatic_training_planned_steps",
        ),
        _number("Time left", "At the present pace.", "s", "animatic_training_remaining_seconds"),
        _number("Loss", "Mean of the newest steps.", "none", "animatic_training_loss"),
        _number("Clips/s", "Of all workers.", "none", "animatic_training_clips_per_second"),
        _number(
            "Checkpoint",
            "Age of the newest checkpoint: the work that a failure would cost.",
            "s",
            "(time() - animatic_training_checkpoint_timestamp_seconds)",
        ),
        _number(
            "Stalled",
            "For how long the run has waited for workers longer than it should.",
            "s",
            "animatic_training_stalled_seconds",
        ),
    ),
)

_LEARNING = Row(
    "Learning",
    (
        Panel(
            "Loss",
            "Mean over the steps since the last value; validation samples are in the tracker.",
            "none",
            _of_runs("animatic_training_loss"),
            low=None,
        ),
        Panel(
            "Loss by noise",
            "By quarter of the noise schedule, from little noise (1) to much.",
            "none",
            _of_runs("animatic_training_quarter_loss", "{{run}} quarter {{quarter}}"),
            low=None,
        ),
        Panel(
            "Validation loss",
            "Of fixed clips at fixed timesteps and noise (validation.loss_every): differences are not luck.",
            "none",
            _of_runs("animatic_training_validation_loss"),
            low=None,
        ),
        Panel(
            "Validation loss by noise",
            "By quantile of timesteps, from little noise (1) to much.",
            "none",
            _of_runs("animatic_training_validation_quantile_loss", "{{run}} quantile {{quantile}}"),
            low=None,
        ),
        Panel(
            "Gradient norm",
            "Before clipping.",
            "none",
            _of_runs("animatic_training_gradient_norm"),
            low=None,
            logarithmic=True,
        ),
        Panel("Learning rate", "Of the last step.", "none", _of_runs("animatic_training_learning_rate")),
        Panel(
            "Loss scale",
            "Of fp16: it is halved where gradients overflow.",
            "none",
            _of_runs("animatic_training_loss_scale"),
            logarithmic=True,
        ),
    ),
)

_SPEED = Row(
    "Throughput",
    (
        Panel("Clips/s", "Of all workers.", "none", _of_runs("animatic_training_clips_per_second")),
        Panel(
            "Clips/s of a device",
            "Of each worker, on average: falls where more workers add less than their share.",
            "none",
            _of_runs("animatic_training_device_clips_per_second"),
        ),
        Panel(
            "MFU",
            "Share of the devices' peak arithmetic that the network's forward and backward passes used.",
            "percentunit",
            _of_runs("animatic_training_mfu_ratio"),
            high=1,
        ),
        Panel("Step", "Mean time of a step.", "s", _of_runs("animatic_training_step_seconds")),
        Panel(
            "Step by phase",
            "Mean time of each phase of a step, of the first worker.",
            "s",
            _of_runs("animatic_training_phase_seconds", "{{run}} {{phase}}"),
        ),
        Panel(
            "GPU memory",
            "Of the worker with the most: what torch's tensors have, what its allocator has reserved, and "
            "the most that was allocated at once.",
            "bytes",
            (
                *_of_runs("animatic_training_gpu_memory_allocated_bytes", "{{run}} allocated"),
                *_of_runs("animatic_training_gpu_memory_reserved_bytes", "{{run}} reserved"),
                *_of_runs("animatic_training_gpu_memory_peak_bytes", "{{run}} peak"),
            ),
        ),
        Panel(
            "Memory",
            "Of the worker with the most, where workers have no GPU.",
            "bytes",
            _of_runs("animatic_training_memory_resident_bytes"),
        ),
        Panel(
            "Waiting for data",
            "Share of the time in which the first worker waited for a batch.",
            "percentunit",
            _of_runs("animatic_training_data_wait_ratio"),
            high=1,
        ),
        Panel(
            "Steps",
            "Steps done, of the whole run; a curve that goes back has resumed from a checkpoint.",
            "none",
            (
                *_of_runs("animatic_training_step"),
                *_of_runs("animatic_training_planned_steps", "{{run}} planned"),
            ),
        ),
        Panel(
            "Checkpoint age",
            "Since the newest checkpoint was written.",
            "s",
            _of_runs("(time() - animatic_training_checkpoint_timestamp_seconds)"),
        ),
        Panel(
            "Signs of life",
            "Age of the last one of each worker.",
            "s",
            _of_runs("animatic_training_worker_heartbeat_age_seconds", "{{run}} rank {{rank}} {{host}}"),
        ),
        Panel(
            "Steps behind",
            "Of each worker, compared with the furthest: more than one is a worker that the others wait for.",
            "none",
            _of_runs(
                "(max by (job, instance) (animatic_training_worker_step) - on (job, instance) group_right "
                "animatic_training_worker_step)",
                "{{run}} rank {{rank}} {{host}}",
            ),
        ),
        Panel(
            "Skipped steps, rollbacks, warnings, restarts, hangs",
            "Counted since the command was started.",
            "none",
            (
                *_of_runs("animatic_training_skipped_steps_total", "{{run}} skipped steps"),
                *_of_runs("animatic_training_rollbacks_total", "{{run}} rollbacks"),
                *_of_runs("animatic_training_warnings_total", "{{run}} warnings"),
                *_of_runs("animatic_training_restarts_total", "{{run}} restarts"),
                *_of_runs("animatic_training_hangs_total", "{{run}} hangs"),
            ),
        ),
    ),
)

TRAINING_DASHBOARD = Dashboard(
    name="training",
    title="animatic: training",
    description="Runs of animatic train --metrics-port, and the nodes that they run on.",
    variables=(Variable("run", "Run", "label_values(animatic_training_info, run)"), NODES),
    rows=(_STATE, _LEARNING, _SPEED, GPU_ROW, RAY_ROW),
)
