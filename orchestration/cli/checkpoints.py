"""Verbs over published checkpoints: import-checkpoint, export-checkpoint."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestration.cli.common import (
    AsJson,
    Codec,
    Encoders,
    bundle_fields,
    err,
    local_path,
    out,
    print_json,
    print_table,
    short,
)
from orchestration.cli.streams import printable
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

PANEL = "Published weights"


class Layout(StrEnum):
    """Layouts that can be written."""

    DYNAMICRAFTER = "dynamicrafter"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (import_checkpoint, export_checkpoint))


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="safetensors, or a file of torch.save.")],
    variant: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="dynamicrafter-256, -512, -1024 or -512-interp, videocrafter2, stable-diffusion-2.1; "
            "recognised from the file if not given.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", parser=local_path, metavar="PATH", help="The bundle; runs/imported/VARIANT if not given."
        ),
    ] = None,
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete", help="Accept a DynamiCrafter file without autoencoder, encoders or schedule."
        ),
    ] = False,
    averaged: Annotated[
        bool, typer.Option("--ema", help="Take the averaged weights (model_ema.*) of a file with both.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a published checkpoint as a bundle, checked key by key; its tensors stay byte for byte."""
    from orchestration.workflows.checkpoints import ImportOptions
    from orchestration.workflows.checkpoints import import_checkpoint as run
    from orchestration.workspace import Workspace

    with err().status(Text(printable(f"importing {file}"))):
        imported = run(ImportOptions(file, variant, folder, incomplete, averaged), Workspace.current())
    if as_json:
        content = dataclasses.asdict(imported)
        print_json({**bundle_fields(content.pop("id"), content.pop("folder")), **content})
        return
    absent = [(part, "not in the file") for part in imported.absent]
    print_table(("part", "tensors"), [*imported.parts.items(), *absent])
    for group, count in imported.left_out.items():
        out().print(f"left out: {group} ({count})")
    for remark in imported.remarks:
        err().print(remark)
    out().print(f"{imported.variant}: bundle {short(imported.id)}  {display_path(imported.folder)}")


def export_checkpoint(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    layout: Annotated[Layout, typer.Option("--as", help="The layout to write.")],
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help=".ckpt or .safetensors; BUNDLE.ckpt beside the bundle if not given.",
        ),
    ] = None,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle as a checkpoint that the published code loads."""
    from orchestration.workflows.checkpoints import ExportOptions
    from orchestration.workflows.checkpoints import export_checkpoint as run

    assert layout is Layout.DYNAMICRAFTER  # the only one
    options = ExportOptions(bundle, file, codec, encoders)
    with err().status(Text(printable(f"exporting {options.target}"))):
        exported = run(options)
    if as_json:
        print_json(exported)
        return
    print_table(("part", "from"), list(exported.origins.items()))
    out().print(f"{exported.tensors} tensors  {display_path(exported.path)}")
