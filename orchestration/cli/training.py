"""Verbs around training runs: train, sync."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    Preset,
    display_path,
    err,
    only_results_on_stdout,
    out,
    print_json,
    short,
)

if TYPE_CHECKING:
    from orchestration.workflows.train_request import Request
    from training.config.sections import TrackingConfig

PANEL = "Training"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command(rich_help_panel=PANEL)(train)
    app.command(rich_help_panel=PANEL)(sync)


def train(
    stage: Annotated[
        int, typer.Option(min=0, max=3, help="0 prior, 1 context, 2 adaptation, 3 detail guidance.")
    ],
    preset: Preset = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable."),
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option(help="YAML file with settings over the preset's; repeatable.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Dataset made by `animatic ingest`; the newest under runs/ if not given."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Run folder; named after preset, stage and what it starts from if not given."
        ),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster; a local Ray if not given.")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs to train on; all there are if not given.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the complete configuration and stop.")
    ] = False,
    print_initialisation: Annotated[
        bool,
        typer.Option("--print-initialisation", help="Print where every weight comes from and stop."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --print-initialisation: list every tensor.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train one stage; an interrupted run goes on from its newest checkpoint."""
    if verbose and not print_initialisation:
        raise AnimaticError("--verbose goes with --print-initialisation")
    from orchestration.workflows.train_request import Request

    request = Request(
        stage=stage,
        preset=preset,
        sets=tuple(assignments or ()),
        files=tuple(config or ()),
        data=data,
        address=address,
        gpus=gpus,
    )
    if print_initialisation:
        _print_initialisation(request, every_tensor=verbose, as_json=as_json)
    elif print_config:
        _print_config(request)
    else:
        _train(request, run, as_json)


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
    from orchestration.tracking import backends_for
    from orchestration.tracking import sync as replay
    from orchestration.workspace import Workspace

    if not (run / "journal.jsonl").is_file():
        raise AnimaticError(f"{run} is not a run folder: it has no journal.jsonl")
    tracking = _tracking(run / "config.yaml")
    mode = wandb or tracking.wandb
    if mode not in ("offline", "online", "disabled"):
        raise AnimaticError(f"--wandb is offline, online or disabled, not {mode}")
    uri = mlflow_uri or tracking.mlflow_uri or Workspace.current().mlflow_uri
    reports = replay(run, tracking.project, backends_for(uri, mode, tracking.project))
    if as_json:
        print_json({"run": run, "trackers": reports})
    else:
        for report in reports:
            told = f"{report.points} values, {report.samples} samples delivered to {report.target}"
            out().print(f"{report.backend}: {told}")
    failed = [f"{report.backend}: {report.error}" for report in reports if report.error]
    if failed:
        raise AnimaticError("; ".join(failed))


def _print_initialisation(request: Request, *, every_tensor: bool, as_json: bool) -> None:
    from orchestration.cli import initialisation
    from orchestration.workflows.train_request import with_parent
    from orchestration.workspace import Workspace

    config = with_parent(request, Workspace.current())
    initialisation.show(config, every_tensor=every_tensor, as_json=as_json)


def _print_config(request: Request) -> None:
    from training.config import dump_yaml, resolve
    from training.config.identity import config_hash

    config = resolve(request.stage, request.chosen_preset(), request.all_sets(), request.files)
    typer.echo(f"# config hash {config_hash(config)}\n{dump_yaml(config)}")


def _train(request: Request, run: Path | None, as_json: bool) -> None:
    """Train in ``run``, or in the folder that the recipe names, and accept the bundle."""
    from models.bundle import open_bundle
    from orchestration.launch.ray_train import launch
    from orchestration.registry import accept
    from orchestration.workflows import train_request
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    config = train_request.complete(request, workspace)
    folder = run or train_request.run_folder(config, workspace)
    with only_results_on_stdout():
        result = launch(config, folder, workspace, err())
    entry = accept(workspace.ledger, open_bundle(result.bundle_path))
    if as_json:
        print_json({"result": result, "accepted": entry})
        return
    if result.steps is None:
        out().print(f"stage {config.stage} was trained before; nothing to do")
    else:
        loss = "" if result.final_loss is None else f", loss {result.final_loss:.4f}"
        out().print(f"stage {config.stage} trained: {result.steps} steps in {result.seconds:.0f} s{loss}")
    out().print(f"bundle {short(result.bundle_id)}  {display_path(result.bundle_path)}")
    out().print(f"journal {display_path(result.run_dir / 'journal.jsonl')}")


def _tracking(path: Path) -> TrackingConfig:
    """Where a run is mirrored, of training or of ingest."""
    import yaml

    from training.config import load
    from training.config.sections import TrackingConfig

    content = yaml.safe_load(path.read_text()) if path.is_file() else {}
    if isinstance(content, dict) and "ingest" in content:
        return TrackingConfig.model_validate(content.get("tracking", {}))
    return load(path).tracking
