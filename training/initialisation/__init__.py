"""Where the initial weights of a stage come from: its source bundles, the plan, and the plan applied.

The source bundles are imported at once; what needs torch, when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from training.initialisation.source_bundles import SourceBundles, open_source_bundles, parent_stage

if TYPE_CHECKING:
    from training.initialisation.build import Initialisation, initialise
    from training.initialisation.diffusion import DiffusionChange, diffusion_changes
    from training.initialisation.plan import plan_transfers
    from training.initialisation.tensor_transfer import TensorTransfer

__all__ = [
    "DiffusionChange",
    "Initialisation",
    "SourceBundles",
    "TensorTransfer",
    "diffusion_changes",
    "initialise",
    "open_source_bundles",
    "parent_stage",
    "plan_transfers",
]

_IMPORTED_ON_USE = {
    "DiffusionChange": "training.initialisation.diffusion",
    "Initialisation": "training.initialisation.build",
    "TensorTransfer": "training.initialisation.tensor_transfer",
    "diffusion_changes": "training.initialisation.diffusion",
    "initialise": "training.initialisation.build",
    "plan_transfers": "training.initialisation.plan",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch (PEP 562)."""
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_IMPORTED_ON_USE[name]), name)
