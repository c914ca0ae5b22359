"""What the ledger records of a bundle today, in the form of tags."""

from __future__ import annotations

from orchestration.registry.entry import CHAMPION
from orchestration.registry.history import History


def standing_tags(history: History, bundle_id: str) -> dict[str, str]:
    """Aliases, the newest promotion to champion and the gate that decided it, exports and withdrawal.

    Keys are always the same; a text is empty where it does not apply.

    Raises:
        AnimaticError: the ledger is damaged.
    """
    snapshot = history.snapshot()
    log = snapshot.log(bundle_id)
    presets = dict.fromkeys(entry.preset for entry in log)
    aliases = [
        name
        for preset in presets
        for name, entry in sorted(snapshot.aliases(preset).items())
        if entry.bundle_id == bundle_id
    ]
    promotions = [entry for entry in log if entry.kind == "promoted" and entry.moved_alias == CHAMPION]
    promotion = promotions[-1] if promotions else None
    gate = promotion.gate if promotion else None
    withdrawn = snapshot.withdrawn(bundle_id)
    exported = [entry.location for entry in log if entry.kind == "exported" and entry.location]
    return {
        "registry.aliases": ", ".join(aliases),
        "promotion.time": promotion.time if promotion else "",
        "promotion.actor": promotion.actor if promotion else "",
        "promotion.forced": promotion.forced if promotion else "",
        "gate.name": gate.gate_name if gate else "",
        "gate.outcome": gate.outcome if gate else "",
        "gate.report": gate.report if gate else "",
        "registry.exported": exported[-1] if exported else "",
        "registry.withdrawn": withdrawn.note or withdrawn.time if withdrawn else "",
    }
