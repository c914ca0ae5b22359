"""Published checkpoints: into a bundle, and out of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models import checkpoints
from models.bundle import Bundle
from orchestration.registry import named_bundle
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class ImportOptions:
    """``variant``: recognised from the file if None; ``folder``: ``runs/imported/VARIANT`` if None;
    ``incomplete``: accept a file without autoencoder, encoders or schedule; ``averaged``: take the averaged
    weights where the file has both."""

    file: Path
    variant: str | None = None
    folder: Path | None = None
    incomplete: bool = False
    averaged: bool = False


@dataclass(frozen=True)
class ExportOptions:
    """``out``: the file or, of ``diffusers``, the folder; ``BUNDLE.ckpt`` or ``BUNDLE-diffusers`` beside the
    bundle if None; ``codec`` and ``encoders``: files for a bundle that contains none."""

    bundle: str
    out: Path | None = None
    codec: str | None = None
    encoders: str | None = None
    layout: Literal["dynamicrafter", "diffusers"] = "dynamicrafter"

    def target(self, bundle: Bundle) -> Path:
        """What to write of an opened bundle."""
        folder = bundle.folder.resolve()
        ending = ".ckpt" if self.layout == "dynamicrafter" else "-diffusers"
        return self.out or folder.with_name(folder.name + ending)


def import_checkpoint(options: ImportOptions, workspace: Workspace) -> checkpoints.ImportResult:
    """Write a bundle with the tensors of the file, checked key by key and unchanged.

    Raises:
        AnimaticError: the file cannot be read or recognised, or the folder exists.
    """
    return checkpoints.import_checkpoint(
        options.file,
        options.folder,
        options.variant,
        incomplete=options.incomplete,
        averaged=options.averaged,
        parent=workspace.root / "imported",
    )


def named(options: ExportOptions, workspace: Workspace) -> Bundle:
    """The bundle to export, verified. Raises AnimaticError if there is none, or it is damaged."""
    return named_bundle(workspace.ledger, options.bundle)


def export_checkpoint(bundle: Bundle, options: ExportOptions) -> checkpoints.ExportResult:
    """Write a bundle as a checkpoint in DynamiCrafter's layout.

    Raises:
        AnimaticError: a part is missing, or the file exists.
    """
    return checkpoints.export_checkpoint(
        bundle, options.target(bundle), codec=options.codec, encoders=options.encoders
    )


def export_diffusers(bundle: Bundle, options: ExportOptions) -> checkpoints.DiffusersExport:
    """Write the parts of a bundle as folders that diffusers and transformers load.

    Raises:
        AnimaticError: a part is missing or has no class there, or the folder exists.
    """
    return checkpoints.export_diffusers(
        bundle, options.target(bundle), codec=options.codec, encoders=options.encoders
    )
