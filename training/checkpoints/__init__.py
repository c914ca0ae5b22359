"""Checkpoints of a run: what resuming continues from."""

from training.checkpoints.manifest import MANIFEST, CheckpointIdentity, Manifest, find_damage, read_manifest
from training.checkpoints.names import complete_checkpoints
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
