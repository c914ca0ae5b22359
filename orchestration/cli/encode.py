"""Verbs that run networks over a dataset: encode, score."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Address,
    AsJson,
    Gpus,
    Preset,
    Workers,
    check_workers,
    err,
    local_bundle,
    local_source,
    only_results_on_stdout,
    out,
    print_result,
    print_work,
    short,
)
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.encode import EncodeOptions
    from orchestration.workflows.score import ScoreOptions
    from pipelines.encode import EncodeReport
    from pipelines.score import ScoreReport

PANEL = "Data"

_Bundle = Annotated[
    str | None,
    typer.Option(
        parser=local_bundle,
        metavar="BUNDLE",
        help="Take size and codec from this bundle (folder, id or alias) instead of a preset.",
    ),
]
_Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="MODEL.KEY=VALUE", help="As for train: model.codec.path=FOLDER; repeatable."
    ),
]
_Stills = Annotated[
    bool, typer.Option("--stills", help="Only the stored images, which is all that stage 1 needs.")
]
_Weights = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="PATH",
        help="open_clip weights of the model, for clip and aesthetic: .safetensors, .bin or .pt.",
    ),
]
_Head = Annotated[
    Path | None,
    typer.Option(
        parser=local_source, metavar="PATH", help="Head over the model's embeddings, for aesthetic."
    ),
]
_Detector = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FOLDER",
        help="Text detector of transformers (PP-OCR), for text; without: as ingest measures it.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (encode, score))


def encode(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    output: Annotated[str, typer.Option("--to", help="Folder or URL for the latents.")],
    preset: Preset = None,
    bundle: _Bundle = None,
    assignments: _Assignments = None,
    stills: _Stills = False,
    text: Annotated[bool, typer.Option("--text", help="Store text features of the captions too.")] = False,
    precision: Annotated[str, typer.Option(hidden=True, help="Of the codec: float32.")] = "float32",
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Store the latents of a dataset's clips, for training with data.latents; resumes where it stopped."""
    check_workers(context, workers)
    from orchestration.workflows import encode as workflow

    options = workflow.EncodeOptions(
        dataset=dataset,
        output=output,
        preset=preset,
        bundle=bundle,
        sets=tuple(assignments or ()),
        stills=stills,
        text=text,
        precision=precision,
        workers=workers,
        gpus=gpus,
    )
    cluster = Cluster(address, environment, as_json)
    if submitted(context, cluster, partial(_encode_job, options)):
        return
    from orchestration.workspace import Workspace

    config = workflow.prepare_encode(options, Workspace.current())
    from orchestration.monitoring.progress import counting

    with only_results_on_stdout(), counting(err(), "encode") as on_progress:
        report = workflow.encode(config, on_progress)
    value = {"latents": output, "report": report}
    print_result(value, partial(_print_encoded, report, output), as_json)


def score(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    metrics: Annotated[
        str,
        typer.Option(
            metavar="NAME,…", help="What to measure: clip, aesthetic, flow, subject_motion, text, blur."
        ),
    ] = "clip",
    weights: _Weights = None,
    model: Annotated[str, typer.Option(help="open_clip's name of the model.")] = "ViT-H-14",
    head: _Head = None,
    detector: _Detector = None,
    frames: Annotated[
        int,
        typer.Option(min=1, max=64, help="Of each clip, evenly drawn, for aesthetic, blur and --detector."),
    ] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Samples at a time.")] = 64,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Measure every sample, to select by in training: caption, looks, motion, text, blur."""
    check_workers(context, workers)
    from orchestration.workflows import score as workflow

    options = workflow.ScoreOptions(
        dataset=dataset,
        weights=weights,
        model=model,
        metrics=tuple(name.strip() for name in metrics.split(",") if name.strip()),
        head=head,
        detector=detector,
        frames=frames,
        batch=batch,
        workers=workers,
        gpus=gpus,
    )
    cluster = Cluster(address, environment, as_json)
    if submitted(context, cluster, partial(_score_job, options)):
        return
    config = workflow.prepare_score(options)
    from orchestration.monitoring.progress import counting

    with only_results_on_stdout(), counting(err(), "score") as on_progress:
        report = workflow.score(config, on_progress)
    value = {"dataset": dataset, "report": report}
    print_result(value, partial(_print_scored, report), as_json)


def _encode_job(options: EncodeOptions, server: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import encode_job
    from orchestration.workspace import Workspace

    return encode_job(options, Workspace.current(), server.resources())


def _score_job(options: ScoreOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import score_job
    from orchestration.workspace import Workspace

    return score_job(options, Workspace.current())


def _print_encoded(report: EncodeReport, output: str) -> None:
    print_work(report.made_units, report.skipped_units, report.seconds)
    out().print(
        f"{report.samples} samples: {report.encoded} encoded, {report.failed} unreadable; "
        f"{report.bytes / 1e6:.1f} MB"
    )
    out().print(f"latents {short(report.digest)}  {display_path(output)}")


def _print_scored(report: ScoreReport) -> None:
    print_work(report.made_units, report.skipped_units, report.seconds)
    for name, figures in report.columns.items():
        out().print(
            f"{name}: {report.samples} samples, {figures.failed} without a value; "
            f"{figures.least:.3f} to {figures.most:.3f}, median {figures.median:.3f}"
        )
