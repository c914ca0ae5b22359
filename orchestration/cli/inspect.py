"""The verb that shows a dataset: inspect."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    AsJson,
    Preset,
    display_path,
    out,
    print_json,
    print_reasons,
    print_table,
    short,
)

if TYPE_CHECKING:
    from orchestration.workflows.train_request import Request
    from pipelines.survey import Survey

PANEL = "Data"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(rich_help_panel=PANEL)(inspect)


def inspect(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--out", help="File to write; under runs/inspect if not given.")
    ] = None,
    clips: Annotated[int, typer.Option(min=0, help="Clips on the contact sheet.")] = 24,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the draw of these clips, 0 if not given; with --batch, the run's seed."),
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Draw a training batch instead, as PNG: what the network sees.")
    ] = False,
    stage: Annotated[int, typer.Option(min=0, max=3, help="With --batch: the stage.")] = 3,
    preset: Preset = None,
    position: Annotated[int, typer.Option(min=0, help="With --batch: steps before it.")] = 0,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="With --batch: a setting; repeatable."),
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option(help="With --batch: YAML file with settings; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Summarise a dataset and write a report: counts, reasons, histograms, a contact sheet, throughput."""
    from orchestration.workspace import Workspace

    if batch:
        from orchestration.workflows.train_request import Request

        sets = (*([] if seed is None else [f"seed={seed}"]), *(assignments or []))
        request = Request(stage, preset, sets, tuple(config or ()), data=Workspace.current().dataset(dataset))
        _draw_batch(request, position, report, as_json)
        return
    from orchestration.reports.dataset_report import report_path, write_report
    from pipelines.dataset import Dataset
    from pipelines.survey import survey
    from pipelines.survey.contact import contacts

    opened = Dataset.open(Workspace.current().dataset(dataset))
    found = survey(opened)
    path = report or report_path(found)
    write_report(path, found, list(contacts(opened, clips, seed or 0)))
    if as_json:
        content = dataclasses.asdict(found)
        print_json({"dataset": content.pop("url"), **content, "report": path})
        return
    _print(found)
    out().print(f"report {display_path(path)}")


def _draw_batch(request: Request, position: int, path: Path | None, as_json: bool) -> None:
    from orchestration.reports.batch_sheet import draw_batch, size_of
    from orchestration.workspace import Workspace
    from training.batch_source import DatasetSource
    from training.config import resolve

    stage, preset = request.stage, request.chosen_preset()
    config = resolve(stage, preset, request.all_sets(), request.files)
    source = DatasetSource(config)
    drawn = next(source.batches(0, 1, position, config.train.global_batch))
    name = f"batch-{source.digest[:8]}-{preset}-stage{stage}-{position}.png"
    path = path or Workspace.current().root / "inspect" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_batch(drawn).save(path)
    if as_json:
        size = size_of(drawn)._asdict()
        print_json({"dataset": source.digest, "samples": drawn.keys, **size, "picture": path})
        return
    frames, height, width = size_of(drawn)
    out().print(
        f"{len(drawn)} samples of {frames} frames of {height}x{width} pixels, step {position + 1} of stage "
        f"{stage}: {display_path(path)}"
    )


def _print(found: Survey) -> None:
    counts = found.counts
    out().print(f"dataset {short(found.digest)}  {found.url}")
    out().print(
        f"{counts['rows']} rows: {counts['samples']} samples, {counts['rejected_rows']} rows rejected; "
        f"{found.shards} shards, {found.bytes / 1e6:.1f} MB, {found.seconds / 60:.1f} minutes of video"
    )
    print_reasons(counts["reasons"])
    if counts["samples"]:
        rows = [
            (name, *(f"{value:g}" for value in (spread.min, spread.mean, spread.max)))
            for name, spread in found.spread.items()
        ]
        print_table(("", "least", "mean", "most"), rows)
    if found.duplicates is not None:
        out().print(f"{found.duplicates} samples look like an earlier one")
