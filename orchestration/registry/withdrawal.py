"""Withdrawal: of an alias from the bundle that has it, or of a bundle from use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from core.errors import AnimaticError
from orchestration.registry.aliases import PREVIOUS
from orchestration.registry.entry import CHAMPION, Draft, Entry
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

    def decide(history: History) -> Draft | Entry:
        path, preset = history.path_of(known), known.preset
        draft = Draft("withdrawn", known.bundle_id, path, known.stage, preset, actor, note=reason)
        held = [
            name
            for name, entry in history.aliases(preset).items()
            if entry.bundle_id == known.bundle_id and name != PREVIOUS
        ]
        if alias is not None:
            return _of_alias(draft, alias, held)
        return history.withdrawn(known.bundle_id) or _from_use(draft, held, force)

    return ledger.update(decide)


def _of_alias(draft: Draft, alias: str, held: Sequence[str]) -> Draft:
    """The removal of one of the aliases that the bundle has."""
    if alias not in held:
        has = f"it has {', '.join(held)}" if held else "it has none"
        raise AnimaticError(
            f"bundle {draft.bundle_id[:12]} does not have the alias {alias} of preset {draft.preset}: {has}"
        )
    return dataclasses.replace(draft, alias=alias)


def _from_use(draft: Draft, held: Sequence[str], force: bool) -> Draft:
    """The withdrawal of the bundle, which removes the aliases that it has."""
    if held and not force:
        name = draft.bundle_id[:12]
        raise AnimaticError(
            f"bundle {name} is {' and '.join(held)} of preset {draft.preset}: {_ways_out(held)}, or pass "
            "--force to remove every alias that it has"
        )
    return dataclasses.replace(draft, forced=f"was {', '.join(held)}" if held else "")


def _ways_out(held: Sequence[str]) -> str:
    """How a bundle loses the aliases that it has, one by one."""
    others = " and ".join(f"`--from {name}`" for name in held if name != CHAMPION)
    ways = ["promote another one first (`animatic promote`, `animatic rollback`)"] if CHAMPION in held else []
    return ", and ".join([*ways, *([f"remove it from there first ({others})"] if others else [])])
