"""The verb that summarises a dataset: inspect."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    AsJson,
    given,
    local_path,
    out,
    print_json,
    print_reasons,
    print_table,
    refuse,
    short,
)
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.inspect import InspectOptions
    from orchestration.workflows.inspect_batch import BatchOptions
    from orchestration.workspace import Workspace
    from pipelines.survey import Keeping, Kept, Survey

PANEL = "Data"

_Dataset = Annotated[str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")]
_Report = Annotated[
    Path | None,
    typer.Option(
        "--out", parser=local_path, metavar="PATH", help="File to write; under runs/inspect if not given."
    ),
]
_Keep = Annotated[
    str | None,
    typer.Option(
        metavar="LIMITS",
        help="Count the clips that training with these limits uses: aesthetic>=4.5,flow<=20.",
    ),
]
_Seed = Annotated[
    int | None,
    typer.Option(help="Of the choice of these clips, 0 if not given; with --batch, the run's seed."),
]
_Batch = Annotated[
    bool, typer.Option("--batch", help="Draw a training batch instead, as PNG: the network's input.")
]
_Preset = Annotated[
    str | None,
    typer.Option(help="With --batch: tiny, 256, 512 or 1024; tiny if there is no GPU."),
]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="With --batch: a setting; repeatable."),
]
_Config = Annotated[
    list[Path] | None, typer.Option(help="With --batch: YAML file with settings; repeatable.")
]
_Dump = Annotated[
    Path | None,
    typer.Option(
        parser=local_path,
        metavar="FILE",
        help="RUN/guard/step-N-rank-R.json: draw that skipped step's samples.",
    ),
]


_OF_BATCHES = ("stage", "preset", "position", "assignments", "config")
_NOT_OF_DUMPS = ("dataset", "clips", "seed", "keep", "batch", *_OF_BATCHES)


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (inspect,))


def inspect(
    context: typer.Context,
    dataset: _Dataset = None,
    report: _Report = None,
    clips: Annotated[int, typer.Option(min=0, help="Clips on the contact sheet.")] = 24,
    seed: _Seed = None,
    keep: _Keep = None,
    batch: _Batch = False,
    stage: Annotated[int, typer.Option(min=0, max=4, help="With --batch: the stage.")] = 3,
    preset: _Preset = None,
    position: Annotated[int, typer.Option(min=0, help="With --batch: steps before it.")] = 0,
    assignments: _Assignments = None,
    config: _Config = None,
    dump: _Dump = None,
    as_json: AsJson = False,
) -> None:
    """Summarise a dataset and write a report: counts, reasons, histograms, a contact sheet, throughput."""
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    if dump is not None:
        refuse(given(context, *_NOT_OF_DUMPS), "with --dump, whose run has these settings")
        _draw_dump(dump, report, workspace, as_json)
        return
    if batch:
        refuse(given(context, "clips", "keep"), "with --batch, which has no report")
        from orchestration.workflows.inspect_batch import BatchOptions
        from orchestration.workflows.train_request import TrainOptions

        training = TrainOptions(
            stage=stage,
            preset=preset,
            sets=tuple(assignments or ()),
            files=tuple(config or ()),
            data=dataset,
            values={} if seed is None else {"seed": seed},
        )
        _draw_batch(BatchOptions(training, position, report), as_json)
        return
    refuse(given(context, *_OF_BATCHES), "without --batch")
    from orchestration.workflows.inspect import InspectOptions

    _write_report(InspectOptions(dataset, report, clips, seed or 0, keep), workspace, as_json)


def _write_report(options: InspectOptions, workspace: Workspace, as_json: bool) -> None:
    from orchestration.workflows.inspect import inspect_dataset

    inspection = inspect_dataset(options, workspace)
    if as_json:
        content = dataclasses.asdict(inspection.survey)
        renamed = {"dataset": content.pop("url"), "video_seconds": content.pop("seconds")}
        kept = {} if inspection.keeping is None else {"kept": inspection.keeping}
        print_json({**renamed, **content, **kept, "page": inspection.report})
        return
    _print(inspection.survey)
    if inspection.keeping is not None:
        _print_kept(inspection.keeping)
    out().print(f"report {display_path(inspection.report)}")


def _draw_batch(options: BatchOptions, as_json: bool) -> None:
    from orchestration.workflows.inspect_batch import inspect_batch
    from orchestration.workspace import Workspace

    drawn = inspect_batch(options, Workspace.current())
    if as_json:
        size = drawn.size._asdict()
        content = {"digest": drawn.dataset_digest, "samples": len(drawn.keys), "keys": drawn.keys}
        print_json({**content, **size, "picture": drawn.path})
        return
    frames, height, width = drawn.size
    out().print(
        f"{len(drawn.keys)} samples of {frames} frames of {height}x{width} pixels, "
        f"step {options.position + 1} of stage {options.training.stage}: {display_path(drawn.path)}"
    )


def _draw_dump(dump: Path, picture: Path | None, workspace: Workspace, as_json: bool) -> None:
    from orchestration.workflows.inspect_dump import inspect_dump

    drawn = inspect_dump(dump, picture, workspace)
    if as_json:
        print_json({"dump": drawn.dump, "picture": drawn.path})
        return
    skipped = drawn.dump
    out().print(
        f"step {skipped.step} was skipped, {skipped.reason}: mean loss {skipped.loss:.4g}, largest "
        f"{skipped.worst.loss:.4g} of {skipped.worst.key}"
    )
    rows = [
        (sample.key, f"{sample.loss:.4g}", str(sample.timestep), str(sample.seed), f"{sample.fps:g}")
        for sample in skipped.samples
    ]
    print_table(("sample", "loss", "timestep", "seed", "fps"), rows)
    out().print(f"{len(rows)} samples of process {skipped.rank}: {display_path(drawn.path)}")


def _print(found: Survey) -> None:
    counts = found.counts
    out().print(f"dataset {short(found.digest)}  {found.url}")
    out().print(
        f"{counts['rows']} rows: {counts['samples']} samples, {counts['rejected_rows']} rows rejected; "
        f"{found.shards} shards, {found.bytes / 1e6:.1f} MB, {found.seconds / 60:.1f} minutes of video"
    )
    print_reasons(counts["reasons"])
    if counts["samples"]:
        _print_columns(found)
    if found.rungs:
        further = ", ".join(f"{name} of {count}" for name, count in found.rungs.items())
        out().print(f"further sizes: {further} samples")
    if found.duplicates is not None:
        out().print(f"{found.duplicates} samples look like an earlier one")
    if found.stale:
        out().print(f"of an earlier state of the dataset, and left out: {', '.join(found.stale)}")


def _print_columns(found: Survey) -> None:
    """Quantiles of the columns of numbers, and the words of captions."""
    from pipelines.survey import QUANTILES

    names = {0.0: "least", 0.05: "5 %", 0.5: "median", 0.95: "95 %", 1.0: "most"}
    rows = [
        (each.name, str(found.counts["samples"] - each.clips), *(f"{value:.4g}" for value in values))
        for each in found.distributions
        if (values := [v for q, v in zip(QUANTILES, each.quantiles, strict=True) if q in names])
    ]
    print_table(("", "without", *names.values()), rows)
    for each in found.captions:
        words = f"; {each.words[1]} words, of most {each.words[0]} to {each.words[2]}" if each.words else ""
        several = f", {each.several} clips with several" if each.several else ""
        out().print(f"{each.name}: {each.without} clips without{several}{words}")


def _print_kept(found: Keeping) -> None:
    def row(text: str, kept: Kept) -> tuple[str, ...]:
        shares = zip(
            (kept.clips, kept.seconds, kept.rows),
            (found.all.clips, found.all.seconds, found.all.rows),
            strict=True,
        )
        clips, hours, rows = (f"{100 * part / whole:.1f} %" if whole else "" for part, whole in shares)
        return text, str(kept.clips), clips, f"{kept.seconds / 3600:.2f}", hours, str(kept.rows), rows

    limits = list(found.alone.items()) if len(found.alone) > 1 else []
    rows = [row(text, kept) for text, kept in limits]
    rows.append(row("together" if limits else next(iter(found.alone)), found.together))
    print_table(("keeps", "clips", "", "hours", "", "rows", ""), rows)
    out().print(" ".join(f"--set {setting}" for setting in found.settings))
