"""Published checkpoints in and out: DynamiCrafter, VideoCrafter2 and Stable Diffusion 2.1."""

from models.checkpoints.diffusers import DiffusersExport, check_diffusers, export_diffusers
from models.checkpoints.exporting import ExportResult, check_exportable, export_checkpoint
from models.checkpoints.importing import ImportResult, import_checkpoint
from models.checkpoints.layout import published_layout
from models.checkpoints.loading import load
from models.checkpoints.variants import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "DiffusersExport",
    "ExportResult",
    "ImportResult",
    "Variant",
    "check_diffusers",
    "check_exportable",
    "export_checkpoint",
    "export_diffusers",
    "import_checkpoint",
    "load",
    "published_layout",
]
