"""Accepted bundles and champions: the ledger and its changes, lineage, the mirror in MLflow."""

from orchestration.registry.ledger import Entry, Ledger
from orchestration.registry.lineage import Ancestor, trace_lineage
from orchestration.registry.mlflow_registry import mirror_champion
from orchestration.registry.promotion import accept, promote, rollback
from orchestration.registry.selection import (
    champion_bundle,
    named_bundle,
    newest_final_bundle,
    select_bundle,
)

__all__ = [
    "Ancestor",
    "Entry",
    "Ledger",
    "accept",
    "champion_bundle",
    "mirror_champion",
    "named_bundle",
    "newest_final_bundle",
    "promote",
    "rollback",
    "select_bundle",
    "trace_lineage",
]
