"""Verbs around training runs: train, sync."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from core.urls import is_url
from orchestration.cli.common import (
    Address,
    AsJson,
    MetricsPort,
    Preset,
    err,
    given,
    only_results_on_stdout,
    out,
    print_json,
    print_result,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.dry_run import run_dry
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.launch import LauncherName
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.train import TrainOutcome
    from orchestration.workflows.train_request import TrainOptions

PANEL = "Training"

_Stage = Annotated[
    int,
    typer.Option(min=0, max=4, help="0 prior, 1 context, 2 adaptation, 3 detail guidance, 4 distillation."),
]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable."),
]
_Config = Annotated[
    list[Path] | None, typer.Option(help="YAML file with settings over the preset's; repeatable.")
]
_Data = Annotated[
    str | None,
    typer.Option(help="Dataset made by `animatic ingest`; the newest under runs/ if not given."),
]
_Run = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="PATH|URL",
        help="Run folder, named after preset, stage and inputs if not given; or the URL of a folder that a "
        "local one is copied to.",
    ),
]
_Launcher = Annotated[
    LauncherName,
    typer.Option(help="Starts the processes: Ray, or torchrun, on this machine and without Ray."),
]
_Profile = Annotated[
    str | None,
    typer.Option(metavar="STEPS", help="Trace these steps with torch's profiler: one as 10, or 10-12."),
]
_PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the complete configuration and stop.")
]
_PrintInitialisation = Annotated[
    bool,
    typer.Option("--print-initialisation", help="Print where every weight comes from and stop."),
]
_DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Make one small step in the run's processes; nothing is kept."),
]
_Verbose = Annotated[bool, typer.Option("--verbose", help="With --print-initialisation: list every tensor.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (train, sync))


def train(
    context: typer.Context,
    stage: _Stage,
    preset: Preset = None,
    assignments: _Assignments = None,
    config: _Config = None,
    data: _Data = None,
    run: _Run = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    launcher: _Launcher = LauncherName.RAY,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to train on; all if not given.")] = None,
    metrics_port: MetricsPort = None,
    profile: _Profile = None,
    dry_run: _DryRun = False,
    print_config: _PrintConfig = False,
    print_initialisation: _PrintInitialisation = False,
    verbose: _Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Train one stage; an interrupted run resumes from its newest checkpoint."""
    _check_options(context, launcher, print_config=print_config, print_initialisation=print_initialisation)
    if dry_run:
        refuse(given(context, "metrics_port"), "with --dry-run")
    from orchestration.workflows.train_request import TrainOptions

    options = TrainOptions(
        stage=stage,
        preset=preset,
        sets=tuple(assignments or ()),
        files=tuple(config or ()),
        data=data,
        gpus=gpus,
        profile=profile,
        run_dir=Path(run) if run is not None and not is_url(run) else None,
        values={"upload.url": run} if run is not None and is_url(run) else {},
    )
    if print_initialisation:
        _print_initialisation(options, every_tensor=verbose, as_json=as_json)
        return
    if print_config:
        _print_config(options, as_json)
        return
    job = partial(_job, options, metrics_port, dry_run)
    if submitted(context, Cluster(address, environment, as_json), job):
        return
    if dry_run:
        run_dry(options, launcher, as_json)
    else:
        _train(options, launcher, metrics_port, as_json)


def sync(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    mlflow_uri: Annotated[
        str | None, typer.Option(help="MLflow store or server; the run's own if not given.")
    ] = None,
    wandb: Annotated[
        str | None, typer.Option(help="offline, online or disabled; the run's own if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a run's journal to MLflow and W&B: what they missed, and only that."""
    from orchestration.workflows.sync import SyncOptions, sync_run
    from orchestration.workspace import Workspace

    reports = sync_run(SyncOptions(run, mlflow_uri, wandb), Workspace.current())
    if as_json:
        print_json({"run": run, "trackers": reports})
    else:
        for report in reports:
            delivered = f"{report.points} values, {report.samples} samples delivered to {report.target}"
            out().print(f"{report.backend}: {delivered}")
    failed = [f"{report.backend}: {report.error}" for report in reports if report.error]
    if failed:
        raise AnimaticError("; ".join(failed))


def _check_options(
    context: typer.Context, launcher: LauncherName, *, print_config: bool, print_initialisation: bool
) -> None:
    """Refuse options of `train` that would be without effect beside others."""
    if not print_initialisation:
        refuse(given(context, "verbose"), "without --print-initialisation")
    elif print_config:
        refuse(["--print-config"], "with --print-initialisation: print one of them")
    if print_config or print_initialisation:
        without = ("dry_run", "run", "address", "environment", "launcher", "metrics_port")
        refuse(given(context, *without), "where nothing is trained")
    if launcher is LauncherName.TORCHRUN:
        refuse(given(context, "address"), "with --launcher torchrun, which trains on this machine")


def _print_config(options: TrainOptions, as_json: bool) -> None:
    from orchestration.workflows.train_request import complete_config
    from orchestration.workspace import Workspace
    from training.config import config_hash, dump_yaml

    config = complete_config(options, Workspace.current())
    if as_json:
        print_json({"config_hash": config_hash(config), "config": config})
    else:
        out().print(f"# config hash {config_hash(config)}\n{dump_yaml(config)}")


def _print_initialisation(options: TrainOptions, *, every_tensor: bool, as_json: bool) -> None:
    from orchestration.cli import initialisation
    from orchestration.workflows.initialisation import plan_initialisation
    from orchestration.workspace import Workspace

    plan = plan_initialisation(options, Workspace.current())
    if as_json:
        initialisation.print_initialisation_json(plan)
    else:
        initialisation.print_initialisation(plan, every_tensor=every_tensor)


def _job(options: TrainOptions, metrics_port: int | None, dry_run: bool, server: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import train_job
    from orchestration.workspace import Workspace

    return train_job(options, Workspace.current(), server.resources(), metrics_port, dry_run=dry_run)


def _train(options: TrainOptions, launcher: LauncherName, metrics_port: int | None, as_json: bool) -> None:
    from orchestration.workflows.train_request import prepare_training
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    request = prepare_training(options, workspace)
    from orchestration.monitoring import MetricsOptions
    from orchestration.monitoring.progress import TrainingDisplay
    from orchestration.workflows.train import train as run

    console = err()
    metrics = None if metrics_port is None else MetricsOptions(metrics_port, console.print)
    with only_results_on_stdout(), TrainingDisplay(console, request.title) as display:
        outcome = run(
            request,
            workspace,
            on_progress=display,
            on_warning=partial(print_warning, console=console),
            metrics=metrics,
            launcher=launcher,
        )
    value = {"result": outcome.run, "accepted": outcome.accepted}
    print_result(value, partial(_print_outcome, outcome), as_json)


def _print_outcome(outcome: TrainOutcome) -> None:
    from training.run_folder import RunFolder

    run, stage = outcome.run, outcome.accepted.stage
    if run.steps is None:
        out().print(f"stage {stage} is already trained; nothing to do")
    else:
        loss = "" if run.final_loss is None else f", loss {run.final_loss:.4f}"
        out().print(f"stage {stage} trained: {run.steps} steps in {run.seconds:.0f} s{loss}")
    out().print(f"bundle {short(run.bundle_id)}  {display_path(run.bundle_path)}")
    out().print(f"journal {display_path(RunFolder(run.run_dir).journal)}")
