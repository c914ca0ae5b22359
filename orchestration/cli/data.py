"""Verbs that create datasets and check them: ingest, index-images, retry, verify."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    Address,
    AsJson,
    MetricsPort,
    err,
    given,
    only_results_on_stdout,
    out,
    print_json,
    print_reasons,
    print_result,
    print_warning,
    print_work,
    refuse,
    short,
)
from orchestration.cli.ingest_preview import preview_ingest
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.monitoring import IngestObserver, MonitoringOptions
    from orchestration.workflows.ingest import IngestOptions, IngestResult, RetryOptions

PANEL = "Data"

Workers = Annotated[int | None, typer.Option(min=1, help="Units in progress at once; all CPUs if not given.")]
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

_Source = Annotated[
    str,
    typer.Argument(
        help="A table (CSV, JSON, JSONL, Parquet), a folder of videos, or archives of them (zip, tar, "
        "WebDataset shards): a file, a quoted glob, a folder or a URL."
    ),
]
_Videos = Annotated[
    str | None,
    typer.Option(
        help="Folder or archives where a table's relative paths begin, or {page_dir}/{videoid}.mp4; "
        "contentUrl alone if not given."
    ),
]
_Output = Annotated[str | None, typer.Option("--out", help="Dataset folder or URL; runs/data if not given.")]
_Where = Annotated[
    str | None, typer.Option(help="Rows to take, as \"dynamic_confidence > 0.5 and 'cat' in name\".")
]
_Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Columns of a published table: panda70m, openvid, … (see docs/sources.md)."
    ),
]
_Replace = Annotated[bool, typer.Option("--replace", help="Rebuild what a changed table or setting affects.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what the table was understood as; change nothing.")
]
_Probe = Annotated[
    bool, typer.Option("--probe", help="With --dry-run, read the first bytes of ten rows' videos.")
]
_Preset = Annotated[str | None, typer.Option(help="Size the clips for this preset's resolution and length.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (ingest, index_images, retry, verify))


def ingest(
    context: typer.Context,
    source: _Source,
    videos: _Videos = None,
    output: _Output = None,
    where: _Where = None,
    layout: _Layout = None,
    replace: _Replace = False,
    preset: _Preset = None,
    seed: Annotated[int | None, typer.Option(help="Of the randomly drawn conditioning frames.")] = None,
    workers: Workers = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    metrics_port: MetricsPort = None,
    track: Track = True,
    mlflow_uri: MlflowUri = None,
    assignments: Assignments = None,
    dry_run: _DryRun = False,
    probe: _Probe = False,
    as_json: AsJson = False,
) -> None:
    """Turn videos and captions into shards; an interrupted job continues where it stopped."""
    if dry_run:
        refuse(given(context, "address", "metrics_port", "mlflow_uri", "replace"), "with --dry-run")
    else:
        refuse(given(context, "probe"), "without --dry-run")
    _check_tracking(context, track)
    from orchestration.monitoring import MonitoringOptions
    from orchestration.workflows import ingest as workflow
    from orchestration.workspace import Workspace

    options = workflow.IngestOptions(
        source=source,
        output=output,
        videos=videos,
        where=where,
        layout=layout,
        preset=preset,
        seed=seed,
        workers=workers,
        sets=tuple(assignments or ()),
        replace=replace,
    )
    if dry_run:
        preview_ingest(workflow.prepare_ingest(options, Workspace.current()), probe, as_json)
        return
    monitoring = MonitoringOptions(metrics_port, track, mlflow_uri)
    cluster = Cluster(address, environment, as_json)
    if not submitted(context, cluster, partial(_ingest_job, options, monitoring)):
        _ingest_here(options, monitoring, as_json)


def _ingest_here(options: IngestOptions, monitoring: MonitoringOptions, as_json: bool) -> None:
    from orchestration.workflows import ingest as workflow
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    request = workflow.prepare_ingest(options, workspace)
    with _display("ingest") as (on_progress, on_message):
        result = workflow.ingest(request, workspace, monitoring, on_progress, on_message)
    print_result(result, partial(_print_result, result), as_json)
    _check_samples(result)


def index_images(
    folder: Annotated[str, typer.Argument(help="Folder or URL of tars with KEY.jpg and KEY.txt.")],
    as_json: AsJson = False,
) -> None:
    """Make image tars, as img2dataset writes them, a dataset for stage 1; the tars stay as they are."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows.index_images import index_images as run

    with counting(err(), "index") as on_progress:
        index = run(folder, on_progress)
    if as_json:
        print_json(index)
        return
    out().print(f"dataset {short(index.digest)}  {display_path(folder)}: {index.samples} images")
    print_reasons(index.reasons)


def retry(
    context: typer.Context,
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
    environment: Environment = Packages.AUTO,
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
    _check_tracking(context, track)
    from orchestration.monitoring import MonitoringOptions
    from orchestration.workflows import ingest as workflow
    from orchestration.workspace import Workspace

    options = workflow.RetryOptions(
        reasons=tuple(reasons or ()),
        dataset=dataset,
        videos=videos,
        workers=workers,
        sets=tuple(assignments or ()),
    )
    workspace = Workspace.current()
    monitoring = MonitoringOptions(metrics_port, track, mlflow_uri)
    cluster = Cluster(address, environment, as_json)
    if submitted(context, cluster, partial(_retry_job, options, monitoring)):
        return
    request = workflow.prepare_retry(options, workspace)
    with _display("retry") as (on_progress, on_message):
        result = workflow.retry(request, workspace, monitoring, on_progress, on_message)
    print_result(result, partial(_print_result, result), as_json)


def verify(
    dataset: Annotated[
        str | None, typer.Argument(help="Dataset folder or URL; the newest if not given.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every frame of every clip.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a whole dataset, or latents, again: every digest, count, tar and sample."""
    from orchestration.monitoring.progress import counting
    from orchestration.workflows.verify import VerifyOptions, verify_dataset
    from orchestration.workspace import Workspace

    with counting(err(), "verify") as on_progress:
        result = verify_dataset(VerifyOptions(dataset, deep), Workspace.current(), on_progress)
    if as_json:
        print_json(result)
    else:
        for problem in result.problems:
            out().print(problem)
    if result.problems:
        number = "one problem" if len(result.problems) == 1 else f"{len(result.problems)} problems"
        raise AnimaticError(f"{result.dataset} is damaged: {number}")
    if not as_json:
        out().print(f"{result.dataset} is intact")


def _check_samples(result: IngestResult) -> None:
    if not result.report.samples:
        rejects = f"{result.dataset}/rejects.parquet"
        raise AnimaticError(f"none of {result.report.rows} rows became a sample: see {rejects}")


def _ingest_job(options: IngestOptions, monitoring: MonitoringOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import ingest_job
    from orchestration.workspace import Workspace

    return ingest_job(options, monitoring, Workspace.current())


def _retry_job(options: RetryOptions, monitoring: MonitoringOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import retry_job
    from orchestration.workspace import Workspace

    return retry_job(options, monitoring, Workspace.current())


def _check_tracking(context: typer.Context, track: bool) -> None:
    if not track:
        refuse(given(context, "mlflow_uri"), "with --no-track")


@contextlib.contextmanager
def _display(verb: str) -> Iterator[tuple[IngestObserver, Callable[[str], None]]]:
    """The callbacks of an ingest that print its progress and messages."""
    from orchestration.monitoring.ingest_display import IngestDisplay

    console = err()
    with only_results_on_stdout(), IngestDisplay(console, verb) as display:
        yield display, partial(print_warning, console=console)


def _print_result(result: IngestResult) -> None:
    report = result.report
    print_work(report.made_units, report.skipped_units, report.seconds)
    out().print(f"{report.rows} rows: {report.samples} samples, {report.rejected} rows rejected")
    print_reasons(report.reasons)
    out().print(f"dataset {short(report.digest)}  {display_path(result.dataset)}")
