"""Checkpoints of a run: what resuming continues from.

Manifests are read at once; what needs torch is imported when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from training.checkpoints.manifest import MANIFEST, CheckpointIdentity, Manifest, find_damage, read_manifest
from training.checkpoints.names import complete_checkpoints

if TYPE_CHECKING:
    from training.checkpoints.store import Checkpoint, CheckpointStore, Stateful

__all__ = [
    "MANIFEST",
    "Checkpoint",
    "CheckpointIdentity",
    "CheckpointStore",
    "Manifest",
    "Stateful",
    "complete_checkpoints",
    "find_damage",
    "read_manifest",
]

_STORE = ("Checkpoint", "CheckpointStore", "Stateful")


def __getattr__(name: str) -> Any:
    """Import what needs torch (PEP 562)."""
    if name not in _STORE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("training.checkpoints.store"), name)
