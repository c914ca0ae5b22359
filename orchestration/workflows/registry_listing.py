"""What the registry contains: entries of the ledger, aliases, the state of its chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from orchestration.registry import (
    CHAMPION,
    PREVIOUS,
    Entry,
    Evidence,
    History,
    Kind,
    Ledger,
    check_preset,
    known_bundle,
)
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class RegistryFilter:
    """Which entries are listed; None: whatever theirs is.

    ``alias``: events that moved or removed it. ``bundle``: a folder, an id or an alias.
    """

    preset: str | None = None
    kind: Kind | None = None
    alias: str | None = None
    bundle: str | None = None
    stage: int | None = None


@dataclass(frozen=True)
class ListedEntry:
    """A ledger entry, its bundle's folder, and the aliases that the bundle has now by this entry."""

    entry: Entry
    folder: Path
    aliases: tuple[str, ...]
    withdrawn: bool


@dataclass(frozen=True)
class RegistryListing:
    """Entries in the order of the ledger; ``champions``: by preset, None where all were rolled back.

    ``aliases``: by preset, every alias with the promotion behind it. ``total`` entries, and the hash of the
    last of them, ``head``, are those of the whole ledger. ``problems``: reports, gates and studies of listed
    promotions that are missing or changed.
    """

    ledger: str
    entries: list[ListedEntry]
    champions: dict[str, Entry | None]
    aliases: dict[str, dict[str, Entry]]
    total: int
    head: str | None
    problems: list[str]


@dataclass(frozen=True)
class Verification:
    """What is wrong with the registry, one line each, and what counts for nothing; ``total`` entries."""

    ledger: str
    problems: list[str]
    remarks: list[str]
    total: int
    head: str | None


@dataclass(frozen=True)
class BundleLog:
    """Every event of one bundle, the oldest first, its newest folder and its aliases.

    ``folders``: the bundle's folder by each event.
    """

    bundle_id: str
    folder: Path
    entries: list[Entry]
    folders: list[Path]
    aliases: list[str]
    withdrawn: bool


def list_registry(workspace: Workspace, chosen: RegistryFilter | None = None) -> RegistryListing:
    """Read and verify the ledger, and list its entries.

    Raises:
        AnimaticError: the preset or bundle does not exist, or the ledger is damaged.
    """
    chosen = chosen or RegistryFilter()
    ledger = workspace.ledger
    check_preset(ledger, chosen.preset)
    history = ledger.snapshot()
    everything = history.entries()
    is_chosen = _filter(ledger, chosen)
    entries = [entry for entry in everything if is_chosen(entry)]
    presets = sorted({entry.preset for entry in entries})
    aliases = {preset: history.aliases(preset) for preset in presets}
    in_use = {entry.bundle_id for entry in history.in_use()}
    evidence = Evidence(ledger.folder)
    problems = [problem for entry in entries if entry.gate for problem in evidence.problems(entry.gate)]
    return RegistryListing(
        ledger=str(ledger),
        entries=[
            _listed(entry, history, aliases[entry.preset], entry.bundle_id in in_use) for entry in entries
        ],
        champions={preset: history.champion(preset) for preset in presets},
        aliases=aliases,
        total=len(everything),
        head=everything[-1].hash if everything else None,
        problems=list(dict.fromkeys(problems)),
    )


def verify_registry(workspace: Workspace, expect_head: str | None = None) -> Verification:
    """Every byte of the ledger, and the documents that its promotions were decided on.

    Args:
        expect_head: hash of an entry that must be there, see :meth:`orchestration.registry.Ledger.verify`.

    Raises:
        AnimaticError: the hash is too short, or the store cannot be read.
    """
    ledger = workspace.ledger
    chain = ledger.check(expect_head)
    evidence = Evidence(ledger.folder)
    found = [problem for entry in chain.entries if entry.gate for problem in evidence.problems(entry.gate)]
    remarks = list(chain.remarks)
    if chain.newer is not None:
        remarks.append(f"{chain.newer} and others are of a newer version: only their chain was verified")
    problems = [*chain.problems, *dict.fromkeys(found)]
    if not chain.hashes and not problems:
        remarks.append(
            f"nothing has been recorded in {ledger} yet: if something should be, check ANIMATIC_REGISTRY and "
            "ANIMATIC_RUNS"
        )
    return Verification(str(ledger), problems, remarks, len(chain.hashes), chain.head)


def bundle_log(workspace: Workspace, bundle: str, preset: str | None = None) -> BundleLog:
    """Every event of a bundle, named by folder, id or alias.

    Raises:
        AnimaticError: the ledger has no such bundle, or is damaged.
    """
    ledger = workspace.ledger
    known = known_bundle(ledger, bundle, preset)
    history = ledger.snapshot()
    held = [
        name for name, entry in history.aliases(known.preset).items() if entry.bundle_id == known.bundle_id
    ]
    entries = history.log(known.bundle_id)
    return BundleLog(
        known.bundle_id,
        history.folders_of(known.bundle_id)[0],
        entries,
        [history.path_of(entry) for entry in entries],
        held,
        history.withdrawn(known.bundle_id) is not None,
    )


def _filter(ledger: Ledger, chosen: RegistryFilter) -> Callable[[Entry], bool]:
    if chosen.alias == PREVIOUS:
        raise AnimaticError(
            "previous follows from promotions and has no events of its own: `animatic registry --bundle "
            "previous` lists those of the bundle"
        )
    bundle = known_bundle(ledger, chosen.bundle, chosen.preset).bundle_id if chosen.bundle else None
    return lambda entry: (
        chosen.preset in (None, entry.preset)
        and chosen.kind in (None, entry.kind)
        and chosen.alias in (None, entry.moved_alias)
        and chosen.stage in (None, entry.stage)
        and bundle in (None, entry.bundle_id)
    )


def _listed(entry: Entry, history: History, aliases: dict[str, Entry], in_use: bool) -> ListedEntry:
    """``previous`` is named where its bundle was promoted, as the other aliases."""
    moved = {entry.moved_alias} if entry.kind in ("promoted", "rolled_back") else set()
    if CHAMPION in moved:
        moved.add(PREVIOUS)
    held = [name for name, by in aliases.items() if name in moved and by.bundle_id == entry.bundle_id]
    return ListedEntry(entry, history.path_of(entry), tuple(held), not in_use)
