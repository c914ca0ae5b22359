"""Accepted bundles and champions: the ledger and its changes, lineage, the mirror in MLflow."""

from orchestration.registry.entry import Entry
from orchestration.registry.evidence import Evidence
from orchestration.registry.gate_record import CheckRecord, GateRecord
from orchestration.registry.ledger import Ledger
from orchestration.registry.lineage import Ancestor, trace_lineage
from orchestration.registry.mlflow_registry import mirror_champion
from orchestration.registry.preset_names import check_preset
from orchestration.registry.promotion import (
    Grounds,
    accept,
    check_animates,
    check_complete,
    promote,
    rollback,
)
from orchestration.registry.selection import (
    champion_bundle,
    named_bundle,
    newest_final_bundle,
    newest_folder,
    select_bundle,
)

__all__ = [
    "Ancestor",
    "CheckRecord",
    "Entry",
    "Evidence",
    "GateRecord",
    "Grounds",
    "Ledger",
    "accept",
    "champion_bundle",
    "check_animates",
    "check_complete",
    "check_preset",
    "mirror_champion",
    "named_bundle",
    "newest_final_bundle",
    "newest_folder",
    "promote",
    "rollback",
    "select_bundle",
    "trace_lineage",
]
