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
    UnknownFormatError,
    find_damage,
    parse_manifest,
    read_manifest,
)
from training.checkpoints.names import complete_checkpoints, step_of
from training.checkpoints.retention import Retention
from training.checkpoints.writer import Background

if TYPE_CHECKING:
    from training.checkpoints.format1 import FirstFormat
    from training.checkpoints.reader import ShardReader, check_whole, whole_tensors
    from training.checkpoints.snapshot import HostCopies, Snapshot, state_of
    from training.checkpoints.state import Stateful
    from training.checkpoints.store import Checkpoint, CheckpointStore

__all__ = [
    "MANIFEST",
    "Background",
    "Checkpoint",
    "CheckpointIdentity",
    "CheckpointStore",
    "FirstFormat",
    "HostCopies",
    "Layout",
    "Manifest",
    "Retention",
    "ShardReader",
    "Snapshot",
    "Stateful",
    "UnknownFormatError",
    "check_whole",
    "complete_checkpoints",
    "find_damage",
    "parse_manifest",
    "read_manifest",
    "state_of",
    "step_of",
    "whole_tensors",
]

_MODULES = {
    "Checkpoint": "training.checkpoints.store",
    "CheckpointStore": "training.checkpoints.store",
    "FirstFormat": "training.checkpoints.format1",
    "HostCopies": "training.checkpoints.snapshot",
    "ShardReader": "training.checkpoints.reader",
    "Snapshot": "training.checkpoints.snapshot",
    "Stateful": "training.checkpoints.state",
    "check_whole": "training.checkpoints.reader",
    "state_of": "training.checkpoints.snapshot",
    "whole_tensors": "training.checkpoints.reader",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
