"""Accepted bundles and their aliases: the ledger and its changes, the mirror in MLflow."""

from orchestration.registry.aliases import CHALLENGER, PREVIOUS, check_alias
from orchestration.registry.chain import Chain
from orchestration.registry.checks import check_animates, check_complete, check_in_use
from orchestration.registry.deployment import record_deployment
from orchestration.registry.entry import CHAMPION, Draft, Entry, Kind
from orchestration.registry.evidence import DamagedEvidenceError, Evidence
from orchestration.registry.gate_record import CheckRecord, GateRecord
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger
from orchestration.registry.mirror import MirroredStore, mirror_change, mirror_ledger
from orchestration.registry.preset_names import check_preset
from orchestration.registry.promotion import ConflictError, Grounds, accept, give_alias, promote
from orchestration.registry.rolling_back import rollback
from orchestration.registry.selection import (
    by_alias,
    champion_bundle,
    known_bundle,
    named_bundle,
    newest_final_bundle,
    newest_folder,
    select_bundle,
)
from orchestration.registry.standing import standing_tags
from orchestration.registry.withdrawal import withdraw

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "Chain",
    "CheckRecord",
    "ConflictError",
    "DamagedEvidenceError",
    "Draft",
    "Entry",
    "Evidence",
    "GateRecord",
    "Grounds",
    "History",
    "Kind",
    "Ledger",
    "MirroredStore",
    "accept",
    "by_alias",
    "champion_bundle",
    "check_alias",
    "check_animates",
    "check_complete",
    "check_in_use",
    "check_preset",
    "give_alias",
    "known_bundle",
    "mirror_change",
    "mirror_ledger",
    "named_bundle",
    "newest_final_bundle",
    "newest_folder",
    "promote",
    "record_deployment",
    "rollback",
    "select_bundle",
    "standing_tags",
    "withdraw",
]
