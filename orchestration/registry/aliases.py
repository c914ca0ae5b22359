"""Aliases of bundles, computed from the entries of a ledger, and the names that they may have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.errors import AnimaticError
from orchestration.registry.entry import Entry

CHALLENGER, PREVIOUS = "challenger", "previous"
_NAME = re.compile(r"[a-z][a-z0-9-]*")
# As much of an id as could be asked for.
_HEX = re.compile(r"[0-9a-f]+")
# Names that MLflow's registry keeps for itself, so that they could not be mirrored.
_RESERVED = re.compile(r"latest|v[0-9]+")
LONGEST = 100  # characters: the pointer of an export has this name too; MLflow takes 255


@dataclass
class AliasState:
    """What became of one alias of one preset.

    Attributes:
        held: the promotions that were not rolled back, oldest first.
        vacant: whether no bundle has the alias: never given, or removed from the bundle that had it.
    """

    held: list[Entry] = field(default_factory=list)
    vacant: bool = True

    @property
    def previous(self) -> Entry | None:
        """The promotion that a rollback returns to."""
        before = self.held if self.vacant else self.held[:-1]
        return before[-1] if before else None


def states(entries: Sequence[Entry], preset: str) -> dict[str, AliasState]:
    """Every alias that a preset ever had."""
    found: dict[str, AliasState] = {}
    for entry in entries:
        if entry.preset != preset:
            continue
        if entry.kind == "withdrawn":
            _remove(entry, found)
        elif entry.moved_alias:
            _move(entry, found.setdefault(entry.moved_alias, AliasState()))
    return found


def check_alias(name: str) -> None:
    """Accept a name that a bundle can be given.

    Raises:
        AnimaticError: for ``previous``, which follows from promotions, and for names that are no alias.
    """
    if name == PREVIOUS:
        raise AnimaticError(
            "the alias previous is the champion before, and cannot be set: `animatic rollback` reinstates it"
        )
    if len(name) > LONGEST:
        raise AnimaticError(f"an alias has at most {LONGEST} characters, and {name[:16]}… has {len(name)}")
    if not is_alias_name(name):
        raise AnimaticError(
            f"{name!r} cannot be an alias: begin with a lower-case letter, continue with letters, digits and "
            "hyphens, and use neither what could be an id (as beef) nor a reserved name (latest, v1)"
        )


def is_alias_name(name: str) -> bool:
    """Whether a name could be an alias, ``previous`` included; what could be an id is none."""
    fits = _NAME.fullmatch(name) and not _HEX.fullmatch(name) and not _RESERVED.fullmatch(name)
    return bool(fits)


def _move(entry: Entry, state: AliasState) -> None:
    if entry.kind == "promoted":
        again = bool(state.held) and state.held[-1].bundle_id == entry.bundle_id
        if again and state.vacant:
            state.held[-1] = entry
        elif not again:  # earlier versions could enter one promotion several times
            state.held.append(entry)
    else:
        while state.held and state.held[-1].bundle_id != entry.bundle_id:
            state.held.pop()
    state.vacant = not state.held


def _remove(entry: Entry, found: dict[str, AliasState]) -> None:
    """Removal of one alias, or of all of them where the bundle was withdrawn from use."""
    for name, state in found.items():
        holds = not state.vacant and state.held[-1].bundle_id == entry.bundle_id
        if holds and entry.alias in ("", name):
            state.held.pop()
            state.vacant = True
