"""The ledger's mirror in MLflow's model registry: rebuilt from the ledger alone, never read back."""

from orchestration.registry.mirror.reconcile import Change, UnknownVersion
from orchestration.registry.mirror.state import RegistryState, desired_state
from orchestration.registry.mirror.stores import MirroredStore, mirror_change, mirror_ledger

__all__ = [
    "Change",
    "MirroredStore",
    "RegistryState",
    "UnknownVersion",
    "desired_state",
    "mirror_change",
    "mirror_ledger",
]
