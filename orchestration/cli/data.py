"""Verbs that make datasets and check them: ingest, retry, verify."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    display_path,
    err,
    only_results_on_stdout,
    out,
    print_json,
    print_reasons,
    short,
)

if TYPE_CHECKING:
    from orchestration.monitoring import Watch
    from pipelines.ingest import IngestConfig, IngestProgress, IngestReport

PANEL = "Data"

Workers = Annotated[int | None, typer.Option(min=1, help="Units in progress at once; all CPUs if not given.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; a local Ray if not given.")]
MetricsPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Serve the figures to Prometheus here; 0: a free port.")
]
Track = Annotated[bool, typer.Option(help="Make this a run of the tracker.")]
MlflowUri = Annotated[
    str | None, typer.Option(help="MLflow store or server; the one under runs/ if not given.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any other setting, as filters.min_motion=0.1; repeatable."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (ingest, index_images, retry, verify):
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
    metrics_port: MetricsPort = None,
    track: Track = True,
    mlflow_uri: MlflowUri = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Turn a table of videos into shards; an interrupted job goes on where it stopped."""
    from orchestration.monitoring import Watch
    from orchestration.workspace import Workspace
    from pipelines.ingest import ingest as run

    chosen: dict[str, Any] = {"seed": seed, "workers": workers, "address": address, "videos": videos}
    chosen["where"] = where
    target = output or str(Workspace.current().data)
    config = _config(source, target, preset, chosen, assignments or [])
    watch = Watch(metrics_port, track, mlflow_uri)
    with _watched("ingest", target, config.model_dump(mode="json"), watch) as show:
        report = run(config, show, replace=replace)
    _print_report(report, target, as_json)
    if not report.samples:
        raise AnimaticError(f"not one of {report.rows} rows became a sample: see {target}/rejects.parquet")


def index_images(
    folder: Annotated[str, typer.Argument(help="Folder or URL of tars with KEY.jpg and KEY.txt.")],
    as_json: AsJson = False,
) -> None:
    """Make image tars, as img2dataset writes them, a dataset for stage 1; the tars stay as they are."""
    from orchestration.monitoring.progress import counting
    from pipelines.dataset.images import index_images as run

    with counting(err(), "index") as progress:
        info = run(folder, progress)
    counts = info["counts"]
    if as_json:
        print_json({"dataset": folder, "digest": info["digest"], **counts})
        return
    out().print(f"dataset {short(info['digest'])}  {folder}: {counts['samples']} images")
    print_reasons(counts["reasons"])


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
    metrics_port: MetricsPort = None,
    track: Track = True,
    mlflow_uri: MlflowUri = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As fetch.attempts=5 or deadline_s=600; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give rejected rows of a class another try; all other samples stay as they are."""
    from core.config.layers import merged, user_layers
    from orchestration.monitoring import Watch
    from orchestration.workspace import Workspace
    from pipelines.ingest import retry as run

    target = Workspace.current().dataset(dataset)
    if not reasons:
        raise AnimaticError("say which rejections to retry, as in --class fetch_timeout")
    given = {"videos": videos, "workers": workers, "address": address}
    given = {name: value for name, value in given.items() if value is not None}
    values = merged(user_layers(values=given, sets=assignments or []))
    watch = Watch(metrics_port, track, mlflow_uri)
    with _watched("retry", target, {"class": reasons, **values}, watch) as show:
        report = run(target, reasons, show, **values)
    _print_report(report, target, as_json)


@contextlib.contextmanager
def _watched(
    verb: str, target: str, settings: dict[str, Any], watch: Watch
) -> Iterator[Callable[[IngestProgress], None]]:
    from orchestration.monitoring import Job, observe_job

    with only_results_on_stdout(), observe_job(Job(verb, target, settings), watch, err()) as show:
        yield show


def _print_report(report: IngestReport, target: str, as_json: bool) -> None:
    if as_json:
        print_json({"dataset": target, "report": report})
        return
    out().print(
        f"{report.rows} rows: {report.samples} samples, {report.rejected} rows rejected, "
        f"{report.seconds:.0f} s"
    )
    print_reasons(report.reasons)
    out().print(f"dataset {short(report.digest)}  {display_path(target)}")


def verify(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every frame of every clip.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a whole dataset, or latents, again: every digest, count, tar and sample."""
    from orchestration.monitoring.progress import counting
    from orchestration.workspace import Workspace
    from pipelines.dataset.latent_records import holds_latents
    from pipelines.dataset.verify import verify as run
    from pipelines.dataset.verify_latents import verify_latents

    url = Workspace.current().dataset(dataset)
    latents = holds_latents(url)
    if latents and deep:
        raise AnimaticError(f"{url} holds latents, which have no clips to decode: leave out --deep")
    with counting(err(), "verify") as progress:
        problems = (
            verify_latents(url, progress=progress) if latents else run(url, deep=deep, progress=progress)
        )
    if as_json:
        print_json({"dataset": url, "problems": problems})
    else:
        for problem in problems:
            out().print(problem, markup=False)
    if problems:
        number = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise AnimaticError(f"{url} is not whole: {number}")
    if not as_json:
        out().print(f"{url} is whole")


def _config(
    source: str, output: str, preset: str | None, chosen: dict[str, Any], assignments: list[str]
) -> IngestConfig:
    from core.config.validation import configure
    from pipelines.ingest import IngestConfig

    values: dict[str, Any] = _sizes(preset) if preset else {}
    values |= {"source": source, "output": output}
    values |= {name: value for name, value in chosen.items() if value is not None}
    return configure(IngestConfig, values=values, sets=assignments)


def _sizes(preset: str) -> dict[str, Any]:
    """Clips just large and long enough for a preset."""
    from training.config import resolve

    config = resolve(3, preset)
    model, stride = config.model, config.data.sampling.stride
    return {"short_side": min(model.height, model.width), "min_frames": (model.frames - 1) * stride[0] + 1}
