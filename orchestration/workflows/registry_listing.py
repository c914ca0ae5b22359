"""What the registry contains: accepted bundles, champions, the state of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.registry import Entry, Evidence, check_preset
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class ListedEntry:
    """A ledger entry, its bundle's folder, and whether it promoted (or reinstated) a present champion."""

    entry: Entry
    folder: Path
    champion: bool


@dataclass(frozen=True)
class RegistryListing:
    """Entries in the order of the ledger; ``champions``: by preset, None where all were rolled back.

    ``total`` entries, and the hash of the last of them, ``head``, are those of the whole ledger.
    ``problems``: reports, gates and studies of listed promotions that are missing or changed.
    """

    ledger: str
    entries: list[ListedEntry]
    champions: dict[str, Entry | None]
    total: int
    head: str | None
    problems: list[str]


def list_registry(workspace: Workspace, preset: str | None = None) -> RegistryListing:
    """Read and verify the ledger, and list its entries (of ``preset``, if given).

    Raises:
        AnimaticError: the preset does not exist, or the ledger is damaged.
    """
    ledger = workspace.ledger
    check_preset(ledger, preset)
    everything = ledger.entries()
    entries = [entry for entry in everything if preset in (None, entry.preset)]
    champions = {name: ledger.champion(name) for name in sorted({entry.preset for entry in entries})}
    ids = {champion.bundle_id for champion in champions.values() if champion}
    listed = [
        ListedEntry(
            entry, ledger.path_of(entry), champion=entry.kind != "accepted" and entry.bundle_id in ids
        )
        for entry in entries
    ]
    head = everything[-1].hash if everything else None
    evidence = Evidence(ledger.folder)
    problems = [problem for entry in entries if entry.gate for problem in evidence.problems(entry.gate)]
    return RegistryListing(
        str(ledger), listed, champions, len(everything), head, list(dict.fromkeys(problems))
    )
