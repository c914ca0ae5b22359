"""Verbs over published checkpoints: import-checkpoint, export-checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import AsJson, display_path, err, out, print_json, print_table, short

PANEL = "Published weights"


class Layout(StrEnum):
    """Layouts that are written."""

    DYNAMICRAFTER = "dynamicrafter"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command(rich_help_panel=PANEL)(import_checkpoint)
    app.command(rich_help_panel=PANEL)(export_checkpoint)


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help=".ckpt, .pt, .bin or .safetensors.")],
    variant: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="dynamicrafter-256, -512, -1024 or -512-interp, videocrafter2, stable-diffusion-2.1; "
            "found out if not given.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The bundle; runs/imported/VARIANT if not given.")
    ] = None,
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete", help="Accept a DynamiCrafter file without autoencoder, encoders or schedule."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of a published checkpoint, checked key by key; its tensors stay byte for byte."""
    from models import checkpoints
    from orchestration.workspace import Workspace

    with err().status(f"importing {file}"):
        made = checkpoints.import_checkpoint(
            file, folder, variant, incomplete=incomplete, parent=Workspace.current().root / "imported"
        )
    if as_json:
        print_json(made)
        return
    print_table(
        ("part", "tensors"), [*made.parts.items(), *((part, "not in the file") for part in made.absent)]
    )
    for group, count in made.left_out.items():
        out().print(f"left out: {group} ({count})", markup=False)
    for remark in made.remarks:
        err().print(remark, markup=False)
    out().print(f"{made.variant}: bundle {short(made.id)}  {display_path(made.folder)}", markup=False)


def export_checkpoint(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    layout: Annotated[Layout, typer.Option("--as", help="The layout to write.")],
    file: Annotated[
        Path | None,
        typer.Option("--out", help=".ckpt or .safetensors; BUNDLE.ckpt beside the bundle if not given."),
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="Autoencoder, where the bundle has none: diffusers folder or file.")
    ] = None,
    encoders: Annotated[
        str | None, typer.Option(help="CLIP, where the bundle has none: open_clip's file or a published one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle as a checkpoint that the published code loads."""
    from models import checkpoints
    from models.bundle import open_bundle

    assert layout is Layout.DYNAMICRAFTER  # the only one
    opened = open_bundle(bundle)
    target = file or bundle.resolve().with_name(bundle.resolve().name + ".ckpt")
    with err().status(f"exporting {target}"):
        made = checkpoints.export_checkpoint(opened, target, codec=codec, encoders=encoders)
    if as_json:
        print_json(made)
        return
    print_table(("part", "from"), list(made.origins.items()))
    out().print(f"{made.tensors} tensors  {display_path(made.path)}", markup=False)
