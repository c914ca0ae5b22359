"""Changes of the registry: acceptance, promotion and rollback, each one entry of the ledger."""

from __future__ import annotations

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry.ledger import Entry, Ledger


def accept(ledger: Ledger, bundle: Bundle, *, actor: str | None = None, note: str = "") -> Entry:
    """Record an opened bundle, whose files have been verified, as usable by later stages.

    Accepting the same bundle in the same folder again returns the existing entry.

    Raises:
        AnimaticError: the ledger is damaged, or locked by another process.
    """
    known = ledger.accepted(bundle.id)
    if known is not None and ledger.path_of(known).resolve() == bundle.folder.resolve():
        return known
    return ledger.append(
        "accepted",
        bundle_id=bundle.id,
        bundle_path=bundle.folder,
        stage=bundle.info.stage,
        preset=bundle.info.preset,
        actor=actor,
        note=note,
    )


def promote(ledger: Ledger, bundle: Bundle, *, actor: str | None = None, note: str = "") -> Entry:
    """Make an opened bundle the champion of its preset; it is accepted first if it was not.

    Promoting the champion again changes nothing and returns its entry.

    Raises:
        AnimaticError: the ledger is damaged, or locked by another process.
    """
    accepted = accept(ledger, bundle, actor=actor)
    champion = ledger.champion(accepted.preset)
    if champion is not None and champion.bundle_id == accepted.bundle_id:
        return champion
    return ledger.append(
        "promoted",
        bundle_id=accepted.bundle_id,
        bundle_path=bundle.folder,
        stage=accepted.stage,
        preset=accepted.preset,
        actor=actor,
        replaced=champion.bundle_id if champion else None,
        note=note,
    )


def rollback(ledger: Ledger, *, preset: str | None = None, actor: str | None = None, note: str = "") -> Entry:
    """Withdraw the champion and reinstate the previous one, after verifying its files.

    Raises:
        AnimaticError: there is no champion, or no previous one, or the previous one fails verification.
    """
    champion = ledger.champion(preset)
    if champion is None:
        raise AnimaticError(f"{ledger.path} has no champion, so nothing can be rolled back")
    earlier = ledger.champions(champion.preset)[:-1]
    if not earlier:
        raise AnimaticError(
            f"champion {champion.bundle_id[:12]} is the first of preset {champion.preset}: "
            "there is no earlier one to return to"
        )
    previous = earlier[-1]
    folder = ledger.path_of(previous)
    found = open_bundle(folder)
    if found.id != previous.bundle_id:
        raise AnimaticError(
            f"{folder} contains bundle {found.id[:12]}, but the previous champion is "
            f"{previous.bundle_id[:12]}: restore that bundle, or promote another one"
        )
    return ledger.append(
        "rolled_back",
        bundle_id=previous.bundle_id,
        bundle_path=folder,
        stage=previous.stage,
        preset=previous.preset,
        actor=actor,
        replaced=champion.bundle_id,
        note=note,
    )
