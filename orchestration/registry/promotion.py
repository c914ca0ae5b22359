"""Acceptance and promotion: a bundle becomes usable, or gets an alias."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.registry.aliases import check_alias
from orchestration.registry.checks import check_animates, check_in_use
from orchestration.registry.entry import CHAMPION, Draft, Entry
from orchestration.registry.gate_record import GateRecord
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger


class ConflictError(AnimaticError):
    """Another process has moved the alias meanwhile; nothing was recorded."""


@dataclass(frozen=True)
class Grounds:
    """Why a bundle may become champion: the decision of a gate, or the reason of whoever forces it.

    Both, where a promotion is forced against the gate's decision.
    """

    gate: GateRecord | None = None
    forced: str = ""

    def __post_init__(self) -> None:
        passed = self.gate is not None and self.gate.outcome == "PASS"
        if not passed and not self.forced.strip():
            raise ValueError("a promotion needs a gate that passed, or a reason to force it")


def accept(ledger: Ledger, bundle: Bundle, *, actor: str | None = None, note: str = "") -> Entry:
    """Record an opened bundle, whose files have been verified, as usable by later stages.

    Accepting the same bundle in the same folder again returns the existing entry.

    Raises:
        AnimaticError: the ledger is damaged, or locked by another process.
    """

    return ledger.update(lambda history: _acceptance(history, bundle, actor, note))


def promote(
    ledger: Ledger,
    bundle: Bundle,
    judge: Callable[[Entry | None], Grounds],
    *,
    actor: str | None = None,
    note: str = "",
) -> Entry:
    """Make an opened bundle the champion of its preset; it is accepted first if it was not.

    Promoting the champion again changes nothing and returns its entry.

    Args:
        judge: the grounds for promoting the bundle over the present champion (None: there is none). It may
            take its time. What it raises ends the promotion.

    Raises:
        ConflictError: another process has changed the champion meanwhile.
        AnimaticError: the bundle cannot animate, or was withdrawn; the ledger is damaged, or locked by
            another process.
    """
    check_animates(bundle)
    history = ledger.snapshot()
    check_in_use(history, bundle.id, "promoted")
    champion = history.champion(bundle.info.preset)
    again = champion is not None and champion.bundle_id == bundle.id
    grounds = Grounds(forced="champion already") if again else judge(champion)
    draft = dataclasses.replace(
        Draft.of("promoted", bundle, actor=actor, note=note),
        alias=CHAMPION,
        gate=grounds.gate,
        forced=grounds.forced,
    )
    return _give(ledger, bundle, draft, champion)


def give_alias(
    ledger: Ledger, bundle: Bundle, alias: str, *, actor: str | None = None, note: str = ""
) -> Entry:
    """Give an opened bundle an alias of its preset other than ``champion``, which needs no gate.

    Giving it again changes nothing and returns the entry.

    Raises:
        ConflictError: another process has moved the alias meanwhile.
        AnimaticError: as :func:`promote`, or the name cannot be an alias.
    """
    check_alias(alias)
    if alias == CHAMPION:
        raise ValueError("a champion is promoted through the gate")
    check_animates(bundle)
    holder = ledger.alias(bundle.info.preset, alias)
    draft = dataclasses.replace(Draft.of("promoted", bundle, actor=actor, note=note), alias=alias)
    return _give(ledger, bundle, draft, holder)


def refuse_conflict(history: History, preset: str, alias: str, expected: Entry | None) -> None:
    """Raise ConflictError, with who moved it, where an alias is no longer by the promotion ``expected``."""
    if history.alias(preset, alias) == expected:
        return
    gone = expected.bundle_id if expected else None
    moves = [
        entry
        for entry in history.entries()
        if entry.preset == preset
        and (entry.moved_alias == alias or (entry.kind == "withdrawn" and entry.bundle_id == gone))
    ]
    last = moves[-1]
    what = {"promoted": "promoted", "rolled_back": "rolled back to"}.get(last.kind, "withdrew")
    raise ConflictError(
        f"{last.actor} {what} {last.bundle_id[:12]} as {alias} of {preset} meanwhile, at {last.time}: "
        "nothing was recorded; run the command again to decide against the present one"
    )


def _give(ledger: Ledger, bundle: Bundle, draft: Draft, expected: Entry | None) -> Entry:
    """Record a promotion, unless the bundle has the alias, or another one has got it since."""
    preset, alias = draft.preset, draft.alias

    def present(history: History) -> Entry | None:
        check_in_use(history, bundle.id, "promoted")
        holder = history.alias(preset, alias)
        if holder is not None and holder.bundle_id == bundle.id:
            return holder
        refuse_conflict(history, preset, alias, expected)
        return None

    def acceptance(history: History) -> Draft | Entry:
        present(history)
        return _acceptance(history, bundle, draft.actor, "")

    def promotion(history: History) -> Draft | Entry:
        replaced = expected.bundle_id if expected else None
        return present(history) or dataclasses.replace(draft, replaced=replaced)

    ledger.update(acceptance)
    return ledger.update(promotion)


def _acceptance(history: History, bundle: Bundle, actor: str | None, note: str) -> Draft | Entry:
    """The newest acceptance of the bundle, if it names this folder, or else one that does."""
    known = history.accepted(bundle.id)
    if known is not None and history.path_of(known).resolve() == bundle.folder.resolve():
        return known
    return Draft.of("accepted", bundle, actor=actor, note=note)
