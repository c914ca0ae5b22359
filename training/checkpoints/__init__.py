"""Checkpoints of a run: what resuming continues from.

Manifests are read at once; what needs torch is imported when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from training.checkpoints.manifest import (
    MANIFEST,
    CheckpointIdentity,
    Layout,
    Manifest,
    find_damage,
    read_manifest,
)
from training.checkpoints.names import complete_checkpoints, step_of

if TYPE_CHECKING:
    from training.checkpoints.format1 import FirstFormat
    from training.checkpoints.reader import ShardReader, check_whole, whole_tensors
    from training.checkpoints.state import Stateful
    from training.checkpoints.store import Checkpoint, CheckpointStore

__all__ = [
    "MANIFEST",
    "Checkpoint",
    "CheckpointIdentity",
    "CheckpointStore",
    "FirstFormat",
    "Layout",
    "Manifest",
    "ShardReader",
    "Stateful",
    "check_whole",
    "complete_checkpoints",
    "find_damage",
    "read_manifest",
    "step_of",
    "whole_tensors",
]

_MODULES = {
    "Checkpoint": "training.checkpoints.store",
    "CheckpointStore": "training.checkpoints.store",
    "FirstFormat": "training.checkpoints.format1",
    "ShardReader": "training.checkpoints.reader",
    "Stateful": "training.checkpoints.state",
    "check_whole": "training.checkpoints.reader",
    "whole_tensors": "training.checkpoints.reader",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
