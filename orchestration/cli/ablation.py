"""The verb for the paper's ablations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    Workers,
    err,
    local_path,
    only_results_on_stdout,
    out,
    print_json,
    print_result,
    print_table,
    print_warning,
)
from orchestration.cli.verb import add_verbs
from orchestration.launch import LauncherName
from orchestration.workspace import Workspace, display_path

if TYPE_CHECKING:
    from orchestration.monitoring.progress import TrainingDisplay
    from orchestration.workflows.ablation import (
        AblationOptions,
        AblationRecord,
        AblationRequest,
        CellPlan,
    )

PANEL = "Training"
PRESET = "tiny"


_Preset = Annotated[str, typer.Option(help="tiny, 256, 512 or 1024.")]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting of every run; repeatable."),
]
_Variant = Annotated[
    list[str] | None,
    typer.Option(help="Only this variant, and the whole method; repeatable. All if not given."),
]
_Data = Annotated[
    str | None,
    typer.Option(help="Dataset to train on; with preset tiny the demo's if not given, created if missing."),
]
_HeldOut = Annotated[
    str | None,
    typer.Option(help="Held-out dataset, or a folder of NAME.mp4 with NAME.txt; likewise."),
]
_Folder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=local_path,
        metavar="PATH",
        help="Where everything is written; runs/ablation-PRESET if not given.",
    ),
]
_Seeds = Annotated[
    int,
    typer.Option(min=1, max=100, help="Seeds of training, each for every variant; first the preset's."),
]
_Launcher = Annotated[
    LauncherName,
    typer.Option(help="Starts the training processes: Ray, or torchrun, which needs no Ray."),
]
_PrintPlan = Annotated[
    bool, typer.Option("--print-plan", help="Print the runs, what exists and the time left, and stop.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (ablation,))


def ablation(
    preset: _Preset = PRESET,
    assignments: _Assignments = None,
    variant: _Variant = None,
    data: _Data = None,
    held_out: _HeldOut = None,
    folder: _Folder = None,
    seeds: _Seeds = 1,
    clips: Annotated[int | None, typer.Option(min=1, help="Held-out clips; all if not given.")] = None,
    steps: Annotated[int | None, typer.Option(help="DDIM steps of the evaluations.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to train on; all if not given.")] = None,
    launcher: _Launcher = LauncherName.RAY,
    workers: Workers = None,
    print_plan: _PrintPlan = False,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate the method without each of its parts; an interrupted matrix resumes."""
    from orchestration.workflows.ablation import AblationOptions, prepare_ablation

    options = AblationOptions(
        preset=preset,
        data=data,
        held_out=held_out,
        sets=tuple(assignments or ()),
        variants=tuple(variant or ()),
        seeds=seeds,
        clips=clips,
        sampling_steps=steps,
        folder=folder,
        gpus=gpus,
        launcher=launcher,
        workers=workers,
    )
    workspace = Workspace.current()
    options, complete = _with_data(options, workspace)
    request = prepare_ablation(options, workspace)
    if print_plan:
        _print_plan(request, as_json)
        return
    if not complete:
        request = prepare_ablation(_with_created_data(options, workspace), workspace)
    _run(request, as_json)


def _with_data(options: AblationOptions, workspace: Workspace) -> tuple[AblationOptions, bool]:
    """The options with the demo's datasets where none are named, and whether the datasets exist."""
    from dataclasses import replace

    from training.config import presets

    if options.data is not None and options.held_out is not None:
        return options, True
    if options.data is not None or options.held_out is not None:
        raise AnimaticError(
            "--data and --held-out belong together: name a dataset to train on and one to evaluate on"
        )
    if options.preset != PRESET and options.preset in presets():
        raise AnimaticError(
            f"preset {options.preset} needs datasets: --data DATASET --held-out DATASET "
            f"(preset {PRESET} uses the demo's)"
        )
    from orchestration.demo.datasets import demo_datasets, held_out_clips

    found = demo_datasets(workspace)
    if found.exist:
        return replace(options, data=str(found.data), held_out=str(found.held_out)), True
    return replace(options, expected_clips=held_out_clips()), False


def _with_created_data(options: AblationOptions, workspace: Workspace) -> AblationOptions:
    from dataclasses import replace

    from orchestration.demo.datasets import create_demo_datasets

    with only_results_on_stdout():
        made = create_demo_datasets(workspace, err())
    return replace(options, data=str(made.data), held_out=str(made.held_out))


class _Display:
    """Displays an ablation's progress on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def training(self, title: str) -> TrainingDisplay:
        from orchestration.monitoring.progress import TrainingDisplay

        return TrainingDisplay(self._console, title)

    @contextmanager
    def evaluating(self, title: str) -> Iterator[Callable[[int, int], None]]:
        from orchestration.monitoring.progress import counting

        with counting(self._console, title) as on_progress:
            yield on_progress

    def done(self, title: str, *, fresh: bool) -> None:
        self._console.print(f"{'done' if fresh else 'already done'}  {title}", soft_wrap=True)

    def warn(self, message: str) -> None:
        print_warning(message, self._console)


def _run(request: AblationRequest, as_json: bool) -> None:
    from orchestration.workflows.ablation import failed, run_ablation

    with only_results_on_stdout():
        record = run_ablation(request, _Display(err()))
    print_result(record, partial(_print_record, request, record), as_json)
    failures = failed(record)
    if failures:
        cells = sum(len(variant["cells"]) for variant in record["variants"])
        causes = "; ".join(f"{name}: {cause}" for name, cause in failures)
        raise AnimaticError(
            f"{len(failures)} of {cells} cells failed, the same command tries them again: {causes}"
        )


def _print_record(request: AblationRequest, record: AblationRecord) -> None:
    from orchestration.workflows.ablation import DOCUMENT, RESULTS, notes, table

    print_table(*table(record))
    for note in notes(record):
        out().print(note)
    for name in (DOCUMENT, RESULTS):
        out().print(display_path(request.folder / name))


def _print_plan(request: AblationRequest, as_json: bool) -> None:
    from orchestration.workflows.ablation import plan_ablation

    with only_results_on_stdout():
        plan = plan_ablation(request)
    if as_json:
        print_json({"seconds": plan.seconds, "cells": [_cell_json(cell) for cell in plan.cells]})
        return
    rows: list[list[object]] = []
    for cell in plan.cells:
        name = cell.cell.variant.name + (f" seed {cell.cell.seed}" if len(request.seeds) > 1 else "")
        for each in cell.runs:
            state = f"at step {each.step}" if each.state == "interrupted" else each.state
            path = None if each.folder is None else display_path(each.folder)
            rows.append([name, each.run.title, each.run.steps, state, _minutes(each.seconds), path])
        state = "finished" if cell.evaluated else "to do"
        rows.append([name, "evaluation", None, state, _minutes(cell.seconds), None])
    print_table(["variant", "job", "steps", "state", "time left", "folder"], rows)
    shared = "jobs with the same title and folder are one"
    out().print(f"time left: {_minutes(plan.seconds) or 'unknown until each stage has run'} ({shared})")


def _cell_json(cell: CellPlan) -> dict[str, object]:
    return {
        "variant": cell.cell.variant.name,
        "seed": cell.cell.seed,
        "runs": [
            {
                "stage": each.run.stage,
                "switches": each.run.switches,
                "steps": each.run.steps,
                "state": each.state,
                "step": each.step,
                "folder": each.folder,
                "seconds": each.seconds,
            }
            for each in cell.runs
        ],
        "evaluated": cell.evaluated,
        "seconds": cell.seconds,
    }


def _minutes(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds / 60:.0f} min"
