"""Verbs over data: ingest, retry, inspect, verify."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    err,
    only_results_on_stdout,
    out,
    print_json,
    print_table,
    short,
    shown,
)

if TYPE_CHECKING:
    from pipelines.ingest import IngestConfig, IngestProgress, IngestReport

PANEL = "Data"

Workers = Annotated[int | None, typer.Option(min=1, help="Units in progress at once; all CPUs if not given.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; a local Ray if not given.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any other setting, as filters.min_motion=0.1; repeatable."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (ingest, retry, inspect, verify):
        app.command(rich_help_panel=PANEL)(verb)


def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="CSV, JSONL or Parquet with WebVid's columns (videoid, contentUrl, page_dir, name …): "
            "a file, a quoted glob, a folder or a URL."
        ),
    ],
    videos: Annotated[
        str | None, typer.Option(help="Folder of {page_dir}/{videoid}.mp4; contentUrl alone if not given.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--out", help="Dataset folder or URL; runs/data if not given.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Rows to take, as \"dynamic_confidence > 0.5 and 'cat' in name\".")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make again what a changed table or setting touches.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="Size the clips for this preset's resolution and length.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the randomly drawn conditioning frames.")] = None,
    workers: Workers = None,
    address: Address = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Turn a table of videos into shards; an interrupted job goes on where it stopped."""
    from orchestration.workspace import Workspace
    from pipelines.ingest import ingest as run

    chosen: dict[str, Any] = {"seed": seed, "workers": workers, "address": address, "videos": videos}
    chosen["where"] = where
    target = output or str(Workspace.current().data)
    config = _config(source, target, preset, chosen, assignments or [])
    with _shown_progress("ingest") as show:
        report = run(config, show, replace=replace)
    _print_report(report, target, as_json)
    if not report.samples:
        raise AnimaticError(f"not one of {report.rows} rows became a sample: see {target}/rejects.parquet")


def retry(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    reasons: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="REASON", help="Rejection to retry, as fetch_timeout; repeatable."),
    ] = None,
    videos: Annotated[str | None, typer.Option(help="Folder of the videos, if it has moved.")] = None,
    workers: Workers = None,
    address: Address = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As fetch.attempts=5 or deadline_s=600; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give rejected rows of a class another try; all other samples stay as they are."""
    from pipelines.ingest import retry as run

    target = _dataset(dataset)
    if not reasons:
        raise AnimaticError("say which rejections to retry, as in --class fetch_timeout")
    given = {"videos": videos, "workers": workers, "address": address}
    values = {name: value for name, value in given.items() if value is not None}
    _assign(values, assignments or [])
    with _shown_progress("retry") as show:
        report = run(target, reasons, show, **values)
    _print_report(report, target, as_json)


@contextlib.contextmanager
def _shown_progress(title: str) -> Iterator[Callable[[IngestProgress], None]]:
    from orchestration.progress import progress_bar

    with only_results_on_stdout(), progress_bar(err()) as bar:
        task = bar.add_task(title, total=None, figures="starting")

        def show(state: IngestProgress) -> None:
            figures = f"rows, {state.samples} samples, {state.rejected} rejected"
            bar.update(task, completed=state.rows, total=state.total_rows, figures=figures)

        yield show


def _print_report(report: IngestReport, target: str, as_json: bool) -> None:
    if as_json:
        print_json({"dataset": target, "report": report})
        return
    out().print(
        f"{report.rows} rows: {report.samples} samples, {report.rejected} rows rejected, "
        f"{report.seconds:.0f} s"
    )
    _print_reasons(report.reasons)
    out().print(f"dataset {short(report.digest)}  {shown(Path(target)) if '://' not in target else target}")


def inspect(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Summarise a dataset: counts, reasons for rejections, sizes, lengths."""
    import pyarrow.compute as pc

    from pipelines.shards import Dataset

    opened = Dataset.open(_dataset(dataset))
    counts, table = opened.info["counts"], opened.samples
    spread: dict[str, dict[str, float]] = {}
    for column in ("width", "height", "frames", "fps", "duration", "motion", "brightness"):
        limits = pc.min_max(table[column]).as_py()
        spread[column] = {**limits, "mean": pc.mean(table[column]).as_py()}
    size = sum(shard["bytes"] for shard in opened.info["shards"])
    if as_json:
        print_json(
            {
                "dataset": opened.url,
                "digest": opened.digest,
                "counts": counts,
                "bytes": size,
                "spread": spread,
            }
        )
        return
    out().print(f"dataset {short(opened.digest)}  {opened.url}")
    out().print(
        f"{counts['rows']} rows: {counts['samples']} samples, {counts['rejected_rows']} rows rejected; "
        f"{len(opened.info['shards'])} shards, {size / 1e6:.1f} MB"
    )
    _print_reasons(counts["reasons"])
    if len(opened):
        rows = [
            (name, *(f"{value[part]:g}" for part in ("min", "mean", "max"))) for name, value in spread.items()
        ]
        print_table(("", "least", "mean", "most"), rows)
        for caption in table["caption"].slice(0, 3).to_pylist():
            out().print(f"“{caption}”", markup=False)


def verify(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every frame of every clip.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a whole dataset, or latents, again: every digest, count, tar and sample."""
    from orchestration.progress import counting
    from pipelines.latents import holds_latents, verify_latents
    from pipelines.verify import verify as run

    url = _dataset(dataset)
    with counting(err(), "verify") as progress:
        latents = holds_latents(url)
        problems = verify_latents(url) if latents else run(url, deep=deep, progress=progress)
    if as_json:
        print_json({"dataset": url, "problems": problems})
    else:
        for problem in problems:
            out().print(problem, markup=False)
    if problems:
        raise AnimaticError(f"{url} is not whole: {len(problems)} problems")
    if not as_json:
        out().print(f"{url} is whole")


def _config(
    source: str, output: str, preset: str | None, chosen: dict[str, Any], assignments: list[str]
) -> IngestConfig:
    from pydantic import ValidationError

    from pipelines.ingest import IngestConfig
    from training.names import check_names

    values: dict[str, Any] = _sizes(preset) if preset else {}
    values |= {"source": source, "output": output}
    values |= {name: value for name, value in chosen.items() if value is not None}
    _assign(values, assignments)
    check_names(IngestConfig, values)
    try:
        return IngestConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise AnimaticError(
            f"{'.'.join(map(str, first['loc']))} {first['input']!r}: {first['msg']}"
        ) from error


def _assign(values: dict[str, Any], assignments: list[str]) -> None:
    """Put ``section.key=value`` texts into nested values."""
    import yaml

    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise AnimaticError(f"{text!r} is not an assignment: write key=value, as in crf=23")
        section, _, key = name.rpartition(".")
        target = values.setdefault(section, {}) if section else values
        target[key] = yaml.safe_load(value)


def _sizes(preset: str) -> dict[str, Any]:
    """Clips just large and long enough for a preset."""
    from training.config import resolve

    config = resolve(3, preset)
    model, stride = config.model, config.data.sampling.stride
    return {"short_side": min(model.height, model.width), "min_frames": (model.frames - 1) * stride[0] + 1}


def _dataset(given: str | None) -> str:
    from orchestration.workspace import Workspace

    if given is not None:
        return given
    newest = Workspace.current().newest_dataset()
    if newest is None:
        raise AnimaticError("there is no dataset here yet: name one, or make one with `animatic ingest`")
    return str(newest)


def _print_reasons(reasons: dict[str, int]) -> None:
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        out().print(f"  {count:6d}  {reason}")
