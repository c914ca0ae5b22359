"""Verbs over published checkpoints: import-checkpoint, export-checkpoint."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from models.checkpoints import DiffusersExport

PANEL = "Published weights"


class Layout(StrEnum):
    """Layouts that can be written."""

    DYNAMICRAFTER = "dynamicrafter"
    DIFFUSERS = "diffusers"


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
    bundle: Annotated[str, typer.Argument(help="Bundle folder, id or alias.")],
    layout: Annotated[
        Layout,
        typer.Option(
            "--as",
            help="dynamicrafter: one file; diffusers: a folder of parts for diffusers and transformers.",
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="A .ckpt or .safetensors file, or a folder for diffusers; beside the bundle if not given.",
        ),
    ] = None,
    codec: Codec = None,
    encoders: Encoders = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle as a checkpoint that the published code loads, or as parts for diffusers."""
    from orchestration.workflows import checkpoints
    from orchestration.workspace import Workspace

    options = checkpoints.ExportOptions(bundle, target, codec, encoders, layout.value)
    opened = checkpoints.named(options, Workspace.current())
    with err().status(Text(printable(f"exporting {options.target(opened)}"))):
        if layout is Layout.DIFFUSERS:
            parts = checkpoints.export_diffusers(opened, options)
        else:
            exported = checkpoints.export_checkpoint(opened, options)
    if layout is Layout.DIFFUSERS:
        _print_parts(parts, as_json)
        return
    if as_json:
        print_json(exported)
        return
    print_table(("part", "from"), list(exported.origins.items()))
    out().print(f"{exported.tensors} tensors  {display_path(exported.path)}")


def _print_parts(exported: DiffusersExport, as_json: bool) -> None:
    readers = {part.name: part.reader for part in exported.parts}
    if as_json:
        print_json({**dataclasses.asdict(exported), "parts": readers})
        return
    rows = [(name, reader or "no class: our tensors") for name, reader in readers.items()]
    print_table(("part", "loaded by"), [*rows, *((name, "not written") for name in exported.left_out)])
    for name, reason in exported.left_out.items():
        err().print(f"{name} is left out: {reason}")
    out().print(display_path(exported.folder))
