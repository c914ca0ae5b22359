"""Published checkpoints: into a bundle, and out of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import AnimaticError
from models import checkpoints
from orchestration.signatures import open_trusted
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

    bundle: Path
    out: Path | None = None
    codec: str | None = None
    encoders: str | None = None
    layout: Literal["dynamicrafter", "diffusers"] = "dynamicrafter"

    @property
    def target(self) -> Path:
        """What to write. Raises AnimaticError if none is given and nothing can be beside the bundle."""
        folder = self.bundle.resolve()
        if self.out is None and not folder.name:
            raise AnimaticError(f"no bundle at {self.bundle}: name the folder of a bundle")
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


def export_checkpoint(options: ExportOptions) -> checkpoints.ExportResult:
    """Write a bundle as a checkpoint in DynamiCrafter's layout.

    Raises:
        AnimaticError: the bundle is damaged, a part is missing, or the file exists.
    """
    bundle = open_trusted(options.bundle)
    return checkpoints.export_checkpoint(
        bundle, options.target, codec=options.codec, encoders=options.encoders
    )


def export_diffusers(options: ExportOptions) -> checkpoints.DiffusersExport:
    """Write the parts of a bundle as folders that diffusers and transformers load.

    Raises:
        AnimaticError: the bundle is damaged, a part is missing or has no class there, or the folder exists.
    """
    bundle = open_trusted(options.bundle)
    return checkpoints.export_diffusers(
        bundle, options.target, codec=options.codec, encoders=options.encoders
    )
