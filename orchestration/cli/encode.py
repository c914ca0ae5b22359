"""Verbs that run networks over a dataset: encode, score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    Preset,
    display_path,
    err,
    only_results_on_stdout,
    out,
    print_json,
    short,
)

if TYPE_CHECKING:
    from models.architecture import Architecture

PANEL = "Data"

Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Ray actors: one for each GPU or core if not given; 0: none, in this process."),
]
Address = Annotated[str | None, typer.Option(help="Ray cluster; a local Ray if not given.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (encode, score):
        app.command(rich_help_panel=PANEL)(verb)


def encode(
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    output: Annotated[str, typer.Option("--to", help="Folder or URL for the latents.")],
    preset: Preset = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Take size and codec from this bundle instead of a preset.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="MODEL.KEY=VALUE", help="As for train: model.codec.path=FOLDER; repeatable."
        ),
    ] = None,
    stills: Annotated[
        bool, typer.Option("--stills", help="The stored images alone: all that stage 1 needs.")
    ] = False,
    text: Annotated[bool, typer.Option("--text", help="Store text features of the captions too.")] = False,
    precision: Annotated[str, typer.Option(help="Of the codec: float32 or bfloat16.")] = "float32",
    workers: Workers = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Store the latents of a dataset's clips, for training with data.latents; goes on where it stopped."""
    from core.config.validation import configure
    from orchestration.monitoring.progress import counting
    from pipelines.encode import EncodeConfig
    from pipelines.encode import encode as run

    model = _architecture(preset, bundle, assignments or [])
    values = {
        "dataset": dataset,
        "output": output,
        "height": model.height,
        "width": model.width,
        "codec": model.codec,
        "encoders": model.encoders if text else None,
        "clips": not stills,
        "precision": precision,
        **_actors(workers, address),
    }
    config = configure(EncodeConfig, values=values)
    with only_results_on_stdout(), counting(err(), "encode") as bar:
        report = run(config, bar)
    if as_json:
        print_json({"latents": output, "report": report})
        return
    out().print(
        f"{report.samples} samples: {report.encoded} encoded, {report.failed} unreadable; "
        f"{report.bytes / 1e6:.1f} MB, {report.seconds:.0f} s"
    )
    out().print(f"latents {short(report.digest)}  {display_path(output)}")


def score(
    dataset: Annotated[str, typer.Argument(help="Dataset folder or URL, made by `animatic ingest`.")],
    weights: Annotated[Path, typer.Option(help="open_clip weights of the model: .safetensors, .bin or .pt.")],
    model: Annotated[str, typer.Option(help="open_clip's name of the model.")] = "ViT-H-14",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
    workers: Workers = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Score how well image and caption of every sample agree (CLIP), to select by in training."""
    from core.config.validation import configure
    from models.architecture import EncoderConfig
    from orchestration.monitoring.progress import counting
    from pipelines.score.job import ScoreConfig
    from pipelines.score.job import score as run

    encoders = EncoderConfig(kind="open_clip", model=model, path=str(weights))
    values = {"dataset": dataset, "encoders": encoders, "batch": batch, **_actors(workers, address)}
    config = configure(ScoreConfig, values=values)
    with only_results_on_stdout(), counting(err(), "score") as bar:
        report = run(config, bar)
    if as_json:
        print_json({"dataset": dataset, "report": report})
        return
    out().print(
        f"{report.samples} samples scored, {report.failed} unreadable; similarity "
        f"{report.least:.3f} to {report.most:.3f}, median {report.median:.3f}, {report.seconds:.0f} s"
    )


def _architecture(preset: str | None, bundle: Path | None, sets: list[str]) -> Architecture:
    if bundle is not None:
        if preset is not None or sets:
            raise AnimaticError("--bundle says size and codec: leave out --preset and --set")
        from models.bundle import open_bundle

        return open_bundle(bundle).complete_architecture()
    from orchestration.devices import default_preset
    from training.config import resolve

    return resolve(3, preset or default_preset(), sets).model


def _actors(workers: int | None, address: str | None) -> dict[str, Any]:
    """One actor for each GPU, or for each core of a machine without."""
    import os

    from orchestration.devices import device_count

    gpus = device_count()
    return {
        "workers": workers if workers is not None else gpus or os.cpu_count() or 1,
        "gpus_per_worker": 1 if gpus else 0,
        "address": address,
    }
