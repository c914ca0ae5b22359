"""The verb that removes videos from datasets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from core.urls import without_credentials
from orchestration.cli.common import (
    AsJson,
    err,
    local_source,
    only_results_on_stdout,
    out,
    print_result,
    print_table,
    short,
)
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.takedown import DatasetTakedown, TakedownReport

PANEL = "Data"
_NAMES = 10  # ids or keys on one line


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (takedown,))


def takedown(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET…", help="Dataset folders or URLs.")],
    source_ids: Annotated[
        list[str] | None,
        typer.Option("--source-id", metavar="ID", help="Id of a video, exact (videoid); repeatable."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            parser=local_source,
            metavar="PATH",
            help="More ids, one a line; empty lines and those that begin with # count as none.",
        ),
    ] = None,
    latents: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Latents of these datasets that are not below their folders; repeatable."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the history of the datasets.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what has seen the videos; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove videos from datasets for good, and list what has seen them; an interrupted call continues."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows import takedown as workflow
    from orchestration.workspace import Workspace

    options = workflow.TakedownOptions(
        datasets=tuple(datasets),
        source_ids=tuple(source_ids or ()),
        file=file,
        latents=tuple(latents or ()),
        reason=reason,
        dry_run=dry_run,
    )
    with only_results_on_stdout(), counting(err(), "takedown") as on_progress:
        report = workflow.takedown(options, Workspace.current(), on_progress)
    print_result(report, partial(_print, report), as_json)
    if not report.found_any:
        number = "the video" if len(report.absent) == 1 else f"any of the {len(report.absent)} videos"
        raise AnimaticError(
            f"no dataset has {number}: ids are compared exactly with the column videoid of the source table"
        )


def _print(report: TakedownReport) -> None:
    for each in report.datasets:
        _print_dataset(each, report.dry_run)
    if report.absent:
        out().print(f"not found: {_listed(report.absent)}")
    _print_seen(report)
    if report.copies:
        out().print("files with pictures, which are not changed:")
        print_table(["path", "content", "what to do"], [(c.path, c.content, c.remedy) for c in report.copies])
    if report.commands:
        out().print("what may follow:")
    for command in report.commands:
        out().print(f"  {command}")
    if report.dry_run:
        out().print("nothing was changed: --dry-run")


def _print_dataset(each: DatasetTakedown, dry_run: bool) -> None:
    plan, name = each.plan, without_credentials(display_path(each.plan.dataset))
    if plan.unfinished:
        out().print(f"{name}: a takedown that was stopped {'is to be' if dry_run else 'was'} finished first")
    if not plan.units:
        state = "taken down before" if plan.already else "no such video"
        out().print(f"dataset {short(plan.digest)}  {name}: {state}")
    else:
        verb = "would be removed" if dry_run else "removed"
        size = sum(unit.bytes for unit in plan.units)
        change = short(plan.digest) if dry_run else f"{short(plan.digest)} → {short(each.after)}"
        removed = f"{_counted(plan.samples, 'clip')} of {_counted(plan.rows, 'row')} {verb} ({size:,} bytes)"
        out().print(f"dataset {change}  {name}: {removed}")
        print_table(
            ["shard", "clips", "rows", "keys"],
            [(u.shard if u.keys else None, len(u.keys), u.rows, _listed(u.keys)) for u in plan.units],
        )
    if plan.rejected_later:
        out().print(f"  rejected once its ingest continues: {_listed(plan.rejected_later)}")
    for latents in plan.latents:
        tars = [*latents.shards, *(f"{name} (deleted)" for name in latents.stale)]
        out().print(
            f"  latents {without_credentials(display_path(latents.latents))}: {_listed(tars) or 'up to date'}"
        )
    if plan.look_alikes:
        out().print(f"  clips that look like removed ones and stay: {_listed(plan.look_alikes)}")


def _print_seen(report: TakedownReport) -> None:
    if not report.seen:
        out().print("nothing in the workspace or the registry has seen the videos")
        return
    out().print("has seen the videos:")
    rows = [
        (
            each.kind,
            each.name,
            short(each.digest),
            each.where,
            each.why + ("" if each.certain else " (may have)"),
        )
        for each in report.seen
    ]
    print_table(["kind", "name", "digest", "where", "why"], rows)
    for run in report.unfinished_runs:
        out().print(
            f"run {run} is not finished, and does not resume without the videos: start a new run, which has "
            "a folder of its own"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
