"""Which bundle is champion: acceptance, promotion, rollback and lineage, all through the ledger."""

from __future__ import annotations

from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry.ledger import Entry, Ledger

FINAL_STAGE = 3


def accept(ledger: Ledger, folder: Path, *, actor: str | None = None, note: str = "") -> Entry:
    """Record a bundle as usable by later stages, after its files have been verified.

    Accepting the same bundle at the same place again returns the entry that exists.

    Raises:
        AnimaticError: the bundle is missing, tampered with or unreadable.
    """
    bundle = open_bundle(folder)
    known = ledger.accepted(bundle.id)
    if known is not None and ledger.path_of(known).resolve() == Path(folder).resolve():
        return known
    return ledger.append(
        "accepted",
        bundle_id=bundle.id,
        bundle_path=folder,
        stage=bundle.info.stage,
        preset=bundle.info.preset,
        actor=actor,
        note=note,
    )


def promote(
    ledger: Ledger,
    target: str | Path | None = None,
    *,
    preset: str | None = None,
    actor: str | None = None,
    note: str = "",
) -> Entry:
    """Make a bundle the champion of its preset.

    ``target`` is a bundle folder, the id of an accepted bundle (or its beginning), or None for the newest
    accepted stage-3 bundle (of ``preset``, if given). Promoting the champion again changes nothing.

    Raises:
        AnimaticError: nothing to promote, an ambiguous or unknown id, or a bundle that fails verification.
    """
    folder = find(ledger, target) if target is not None else _newest_final(ledger, preset)
    accepted = accept(ledger, folder, actor=actor)
    champion = ledger.champion(accepted.preset)
    if champion is not None and champion.bundle_id == accepted.bundle_id:
        return champion
    return ledger.append(
        "promoted",
        bundle_id=accepted.bundle_id,
        bundle_path=folder,
        stage=accepted.stage,
        preset=accepted.preset,
        actor=actor,
        replaced=champion.bundle_id if champion else None,
        note=note,
    )


def rollback(ledger: Ledger, *, preset: str | None = None, actor: str | None = None, note: str = "") -> Entry:
    """Withdraw the champion and reinstate the one before it, once that one has been verified again.

    Raises:
        AnimaticError: there is no champion, none before it, or the one before it fails verification.
    """
    champion = ledger.champion(preset)
    if champion is None:
        raise AnimaticError(f"{ledger.path} names no champion, so there is nothing to roll back")
    before = ledger.champions(champion.preset)[:-1]
    if not before:
        raise AnimaticError(
            f"champion {champion.bundle_id[:12]} is the first of preset {champion.preset}: "
            "there is no earlier one to return to"
        )
    heir = before[-1]
    opened = open_bundle(ledger.path_of(heir))
    if opened.id != heir.bundle_id:
        raise AnimaticError(
            f"{ledger.path_of(heir)} holds bundle {opened.id[:12]}, but {heir.bundle_id[:12]} was champion "
            "before: put that one back, or promote another"
        )
    return ledger.append(
        "rolled_back",
        bundle_id=heir.bundle_id,
        bundle_path=ledger.path_of(heir),
        stage=heir.stage,
        preset=heir.preset,
        actor=actor,
        replaced=champion.bundle_id,
        note=note,
    )


def champion_bundle(ledger: Ledger, preset: str | None = None) -> tuple[Path, Bundle]:
    """The champion's folder and itself, verified; a folder whose content has been exchanged is refused.

    Raises:
        AnimaticError: there is no champion, or its folder does not hold the promoted bundle.
    """
    entry = ledger.champion(preset)
    if entry is None:
        raise AnimaticError(
            f"{ledger.path} names no champion: train one (`make demo` does it all), "
            "then run `animatic promote`, or pass --bundle FOLDER"
        )
    folder = ledger.path_of(entry)
    bundle = open_bundle(folder)
    if bundle.id != entry.bundle_id:
        raise AnimaticError(
            f"{folder} holds bundle {bundle.id[:12]}, but {entry.bundle_id[:12]} was promoted: "
            "promote what is there now, or roll back"
        )
    return folder, bundle


def open_target(ledger: Ledger, target: str | None, preset: str | None = None) -> tuple[Path, Bundle]:
    """The folder of the bundle that ``target`` names, or of the champion, and the bundle itself, verified.

    Raises:
        AnimaticError: as :func:`find` and :func:`champion_bundle`.
    """
    if target is None:
        return champion_bundle(ledger, preset)
    folder = find(ledger, target)
    return folder, open_bundle(folder)


def find(ledger: Ledger, target: str | Path) -> Path:
    """The folder of a bundle given as a folder or as (the beginning of) an accepted bundle's id.

    Raises:
        AnimaticError: neither a folder nor exactly one accepted bundle matches.
    """
    if Path(target).is_dir():
        return Path(target)
    matches = {e.bundle_id: e for e in ledger.entries() if e.bundle_id.startswith(str(target))}
    if len(matches) > 1:
        raise AnimaticError(f"{target} is the beginning of {len(matches)} bundle ids: give more of it")
    if not matches:
        raise AnimaticError(
            f"{target} is neither a bundle folder nor the id of a bundle in {ledger.path} "
            "(`animatic registry` lists them)"
        )
    return ledger.path_of(next(iter(matches.values())))


def _newest_final(ledger: Ledger, preset: str | None) -> Path:
    finals = [
        entry
        for entry in ledger.entries()
        if entry.kind == "accepted" and entry.stage == FINAL_STAGE and preset in (None, entry.preset)
    ]
    if not finals:
        wanted = f" of preset {preset}" if preset else ""
        raise AnimaticError(
            f"{ledger.path} lists no stage-{FINAL_STAGE} bundle{wanted}: run `make train STAGE=3` first"
        )
    return ledger.path_of(finals[-1])
