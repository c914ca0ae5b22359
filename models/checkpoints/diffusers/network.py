"""The network, which no class of diffusers reads: our tensors under their public names."""

from pathlib import Path

from models.bundle import Bundle
from models.checkpoints.diffusers.part import TRANSFORMERS_WEIGHTS, Part, write_json, write_tensors

FOLDER = "unet"
_REMARK = (
    "No class of diffusers is this network: UNet and query transformer under the names of DynamiCrafter's "
    "published checkpoints, with `architecture.json`. `animatic` loads the bundle that they come from."
)
# Where a machine keeps weights.
_PATHS = {"codec": {"path"}, "encoders": {"path"}}


def write_network(bundle: Bundle, folder: Path) -> list[Part]:
    """Write ``unet`` below ``folder``: weights in their stored types, mapped from the bundle's file."""
    write_tensors(folder / FOLDER / TRANSFORMERS_WEIGHTS, bundle.state())
    architecture = bundle.info.architecture.model_dump(mode="json", exclude=_PATHS)
    write_json(folder / FOLDER / "architecture.json", architecture)
    (folder / FOLDER / "README.md").write_text(_REMARK + "\n", encoding="utf-8")
    return [Part(FOLDER, "", _REMARK)]
