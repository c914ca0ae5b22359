"""What a bundle descends from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models import PRIOR
from models.bundle import open_bundle
from orchestration.registry.ledger import Ledger


@dataclass(frozen=True)
class Ancestor:
    """One link of a lineage. ``path`` is None when the bundle named as parent cannot be found any more."""

    id: str
    path: Path | None
    stage: int | None
    preset: str | None
    config_hash: str | None
    dataset_digest: str | None


def lineage(ledger: Ledger, folder: Path) -> list[Ancestor]:
    """The bundle in ``folder`` and everything it descends from, nearest first.

    Raises:
        AnimaticError: the bundle itself or an ancestor that is still on disk fails verification.
    """
    places = {entry.bundle_id: ledger.path_of(entry) for entry in ledger.entries()}
    if (PRIOR / "bundle.json").is_file():
        places.setdefault(open_bundle(PRIOR).id, PRIOR)
    first = open_bundle(folder)
    places[first.id] = Path(folder)
    chain: list[Ancestor] = []
    waiting = [first.id]
    while waiting:
        bundle_id = waiting.pop(0)
        if any(ancestor.id == bundle_id for ancestor in chain):
            continue
        path = places.get(bundle_id)
        if path is None or not (path / "bundle.json").is_file():
            chain.append(Ancestor(bundle_id, None, None, None, None, None))
            continue
        info = open_bundle(path).info
        chain.append(
            Ancestor(bundle_id, path, info.stage, info.preset, info.config_hash, info.dataset_digest)
        )
        waiting += [parent for parent in (info.parent, info.extra.get("base")) if parent]
    return chain
