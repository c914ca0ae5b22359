"""Withdrawal: of an alias from the bundle that has it, or of a bundle from use."""

from __future__ import annotations

import dataclasses

from core.errors import AnimaticError
from orchestration.registry.aliases import PREVIOUS
from orchestration.registry.entry import Draft, Entry
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger


def withdraw(
    ledger: Ledger,
    known: Entry,
    reason: str,
    *,
    alias: str | None = None,
    force: bool = False,
    actor: str | None = None,
) -> Entry:
    """Remove an alias from a bundle; without one, withdraw the bundle from use for good.

    Its files need not exist any more. Withdrawing it from use again returns the existing entry.

    Args:
        known: any entry of the bundle.
        reason: for the ledger.
        force: withdraw a bundle from use that has aliases, and remove these.

    Raises:
        AnimaticError: the bundle does not have the alias; or it has some, without ``force``.
    """
    name, preset = known.bundle_id[:12], known.preset

    def decide(history: History) -> Draft | Entry:
        held = [
            other
            for other, entry in history.aliases(preset).items()
            if entry.bundle_id == known.bundle_id and other != PREVIOUS
        ]
        draft = Draft(
            "withdrawn",
            known.bundle_id,
            history.path_of(known),
            known.stage,
            preset,
            actor,
            note=reason,
        )
        if alias is not None:
            if alias not in held:
                has = f"it has {', '.join(held)}" if held else "it has none"
                raise AnimaticError(
                    f"bundle {name} does not have the alias {alias} of preset {preset}: {has}"
                )
            return dataclasses.replace(draft, alias=alias)
        withdrawn = history.withdrawn(known.bundle_id)
        if withdrawn is not None:
            return withdrawn
        if held and not force:
            raise AnimaticError(
                f"bundle {name} is {' and '.join(held)} of preset {preset}: promote another one first "
                "(`animatic promote`, `animatic rollback`), or pass --force to leave the preset without"
            )
        return dataclasses.replace(draft, forced=f"was {', '.join(held)}" if held else "")

    return ledger.update(decide)
