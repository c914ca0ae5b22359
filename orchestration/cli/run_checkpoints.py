"""The verb around the checkpoints of a run: checkpoint list, verify, export."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    bundle_fields,
    err,
    given,
    local_path,
    out,
    print_json,
    print_table,
    refuse,
    short,
)
from orchestration.cli.streams import printable
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.run_checkpoints import CheckpointOptions, ListedCheckpoint

PANEL = "Training"


class Action(StrEnum):
    """What to do with the checkpoints of a run."""

    LIST = "list"
    VERIFY = "verify"
    EXPORT = "export"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (checkpoint,))


def checkpoint(
    context: typer.Context,
    action: Annotated[
        Action,
        typer.Argument(help="list them; verify the digests of their files; export the weights of one."),
    ],
    run: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="RUN", help="A run folder, or the folder of a checkpoint."),
    ],
    step: Annotated[
        int | None,
        typer.Option(min=1, help="The checkpoint of this step; all if not given, with export the newest."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="With export: the bundle; RUN/bundle-step-STEP if not given.",
        ),
    ] = None,
    averaged: Annotated[
        bool,
        typer.Option("--ema", help="With export: the averaged weights, as if not given where they exist."),
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="With export: the weights of the step itself, not their average.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Checkpoints of a training run: list them, verify them, or export the weights of one as a bundle."""
    from orchestration.workflows.run_checkpoints import CheckpointOptions

    options = CheckpointOptions(run, step)
    if action is Action.EXPORT:
        if averaged and raw:
            raise AnimaticError("--ema and --raw exclude each other: choose one of them")
        _export(options, target, averaged or (False if raw else None), as_json)
        return
    refuse(given(context, "target", "averaged", "raw"), f"with {action}")
    if action is Action.LIST:
        from orchestration.workflows.run_checkpoints import list_checkpoints

        _print(list_checkpoints(options), as_json)
    else:
        _verify(options, as_json)


def _verify(options: CheckpointOptions, as_json: bool) -> None:
    from orchestration.workflows.run_checkpoints import verify_checkpoints

    with err().status(Text(printable(f"verifying the checkpoints of {options.run}"))):
        found = verify_checkpoints(options)
    _print(found, as_json)
    damaged = [each for each in found if each.damage is not None]
    if damaged:
        raise AnimaticError(f"{len(damaged)} of {len(found)} checkpoints are damaged: {_problem(damaged[0])}")


def _export(options: CheckpointOptions, target: Path | None, averaged: bool | None, as_json: bool) -> None:
    from orchestration.workflows.run_checkpoints import ExportOptions, export

    with err().status(Text(printable(f"exporting a checkpoint of {options.run}"))):
        exported = export(ExportOptions(options, target, averaged))
    kind = "averaged weights" if exported.averaged else "weights"
    if as_json:
        fields = bundle_fields(exported.id, exported.folder)
        print_json({**fields, "step": exported.step, "averaged": exported.averaged})
    else:
        where = display_path(exported.folder)
        out().print(f"{kind} of step {exported.step}: bundle {short(exported.id)}  {where}")


def _print(found: Sequence[ListedCheckpoint], as_json: bool) -> None:
    if as_json:
        print_json({"checkpoints": [_fields(each) for each in found]})
        return
    columns = ("step", "written (UTC)", "GB", "by", "state", "kept", "path")
    print_table(columns, [_row(each) for each in found])


def _row(each: ListedCheckpoint) -> tuple[object, ...]:
    return (
        each.step,
        f"{each.time:%Y-%m-%d %H:%M}" if each.time else None,
        None if each.bytes is None else f"{each.bytes / 1e9:.3g}",
        _writers(each),
        each.damage or "complete",
        each.kept,
        each.path,
    )


def _writers(each: ListedCheckpoint) -> str | None:
    if each.workers is None:
        return None
    workers = f"{each.workers} worker{'s' if each.workers > 1 else ''}"
    return workers if each.zero_stage is None else f"{workers}, ZeRO {each.zero_stage}, {each.precision}"


def _fields(each: ListedCheckpoint) -> dict[str, object]:
    return {**dataclasses.asdict(each), "time": each.time.isoformat() if each.time else None}


def _problem(each: ListedCheckpoint) -> str:
    return f"{each.path}: {each.damage}"
