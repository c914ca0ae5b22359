"""The verb that writes captions: caption."""

from __future__ import annotations

from enum import StrEnum
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
    from orchestration.workflows.caption import CaptionOptions
    from pipelines.caption import CaptionReport

PANEL = "Data"


class Dtype(StrEnum):
    """Type of a model's weights."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


_Model = Annotated[
    Path,
    typer.Option(
        parser=local_source,
        metavar="FOLDER",
        help="Image- or video-text model of transformers: config.json, *.safetensors, ….",
    ),
]
_Name = Annotated[
    str | None, typer.Option(help="NAME of the column caption_NAME; otherwise after the model's folder.")
]
_Prompt = Annotated[
    str | None, typer.Option(help="Instruction to the model; otherwise one for a sentence, if it takes any.")
]
_Frames = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Of each clip; otherwise 8 for models that read videos, 1 for others."),
]
_OnlyMissing = Annotated[
    bool, typer.Option("--only-missing", help="Only clips without a caption in the table.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (caption,))


def caption(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    model: _Model,
    name: _Name = None,
    prompt: _Prompt = None,
    frames: _Frames = None,
    short_side: Annotated[int, typer.Option(min=16, help="Of the frames, at most, pixels.")] = 512,
    only_missing: _OnlyMissing = False,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of a caption.")] = 64,
    max_characters: Annotated[int, typer.Option(min=1, help="Longer captions are cut at a word.")] = 1000,
    beams: Annotated[int, typer.Option(min=1, help="Of the beam search; 1: greedy decoding.")] = 1,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Clips at a time; otherwise as many as fit the GPU.")
    ] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Of the weights; otherwise by the device.")] = None,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Caption clips with a local model of transformers, to train on; resumes where it stopped."""
    check_workers(context, workers)
    from orchestration.workflows import caption as workflow

    options = workflow.CaptionOptions(
        dataset=dataset,
        model=model,
        name=name,
        prompt=prompt,
        frames=frames,
        short_side=short_side,
        only_missing=only_missing,
        max_new_tokens=max_new_tokens,
        max_characters=max_characters,
        beams=beams,
        batch=batch,
        dtype=dtype and dtype.value,
        workers=workers,
        gpus=gpus,
    )
    if submitted(context, Cluster(address, environment, as_json), partial(_job, options)):
        return
    config = workflow.prepare_caption(options)
    from orchestration.monitoring.progress import counting

    with only_results_on_stdout(), counting(err(), "caption") as on_progress:
        report = workflow.caption(config, on_progress)
    print_result({"dataset": dataset, "report": report}, partial(_print, report), as_json)


def _job(options: CaptionOptions, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import caption_job
    from orchestration.workspace import Workspace

    return caption_job(options, Workspace.current())


def _print(report: CaptionReport) -> None:
    print_work(report.made_units, report.skipped_units, report.seconds)
    without = {
        "unreadable": report.unreadable,
        "empty": report.empty,
        "left out with a caption in the table": report.kept,
    }
    parts = [f"{report.captioned} captioned", *(f"{n} {reason}" for reason, n in without.items() if n)]
    out().print(f"{report.samples} samples: {', '.join(parts)}")
    out().print(f"train with --set data.captions.sources=[{report.column},table]", markup=False)
