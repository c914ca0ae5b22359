"""The verb that finds near-duplicates: similar."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Address,
    AsJson,
    Gpus,
    Workers,
    check_workers,
    err,
    local_source,
    only_results_on_stdout,
    out,
    print_result,
    print_work,
)
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.similar import SimilarOptions
    from pipelines.similar import SimilarReport

PANEL = "Data"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (similar,))


def similar(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    weights: Annotated[
        Path,
        typer.Option(
            parser=local_source,
            metavar="PATH",
            help="open_clip weights of the model: .safetensors, .bin or .pt.",
        ),
    ],
    model: Annotated[str, typer.Option(help="open_clip's name of the model.")] = "ViT-H-14",
    threshold: Annotated[float, typer.Option(help="Least cosine of near-duplicates, up to 1.")] = 0.95,
    frames: Annotated[int, typer.Option(min=1, max=64, help="Of each clip that are embedded.")] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Clips at a time.")] = 16,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Find clips that look like an earlier one of the dataset (CLIP), to leave out in training."""
    check_workers(context, workers)
    from orchestration.workflows import similar as workflow

    options = workflow.SimilarOptions(
        dataset, weights, model, threshold, frames, batch, workers=workers, gpus=gpus
    )
    cluster = Cluster(address, environment, as_json)
    if submitted(context, cluster, partial(_job, options)):
        return
    config = workflow.prepare_similar(options)
    from orchestration.monitoring.progress import counting

    with only_results_on_stdout(), counting(err(), "similar") as on_progress:
        report = workflow.similar(config, on_progress)
    print_result({"dataset": dataset, "report": report}, partial(_print, report), as_json)


def _job(options: SimilarOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import similar_job
    from orchestration.workspace import Workspace

    return similar_job(options, Workspace.current())


def _print(report: SimilarReport) -> None:
    print_work(report.made_units, report.skipped_units, report.seconds)
    out().print(
        f"{report.samples} samples: {report.similar} similar to an earlier one, {report.failed} unreadable"
    )
    if report.similar:
        out().print("train without them: --set data.selection.skip_similar=true")
