"""What a bundle descends from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models import PRIOR
from models.bundle import Bundle, ContinuedRun, open_bundle
from orchestration.registry.ledger import Ledger


@dataclass(frozen=True)
class Ancestor:
    """One link of a lineage; everything but ``id`` is None if the bundle is not on this machine any more.

    ``continued``: the checkpoint of another run that its run continued; None if it began by itself.
    ``forced``: why it was promoted without the gate's consent, if it was.
    """

    id: str
    path: Path | None
    stage: int | None
    preset: str | None
    config_hash: str | None
    dataset_digest: str | None
    continued: ContinuedRun | None = None
    forced: str = ""


def trace_lineage(ledger: Ledger, bundle: Bundle) -> list[Ancestor]:
    """An opened bundle and everything it descends from, nearest first; each found ancestor is verified.

    Raises:
        AnimaticError: an ancestor that is still on disk fails verification.
    """
    chain: dict[str, Ancestor] = {}
    waiting = [bundle.id]
    while waiting:
        bundle_id = waiting.pop(0)
        if bundle_id in chain:
            continue
        found = bundle if bundle_id == bundle.id else _find(ledger, bundle_id)
        if found is None:
            chain[bundle_id] = Ancestor(
                bundle_id, None, None, None, None, None, forced=ledger.forced(bundle_id)
            )
            continue
        info = found.info
        chain[bundle_id] = Ancestor(
            bundle_id,
            found.folder,
            info.stage,
            info.preset,
            info.config_hash,
            info.dataset_digest,
            info.extra.get("continued"),
            ledger.forced(bundle_id),
        )
        waiting += [parent for parent in (info.parent, info.extra.get("base")) if parent]
    return list(chain.values())


def _find(ledger: Ledger, bundle_id: str) -> Bundle | None:
    """The bundle with this id in one of its recorded folders, or as the shipped prior; None if it is in none.

    A folder may contain another bundle by now, which is never reported under this id.
    """
    for folder in (*ledger.folders_of(bundle_id), PRIOR):
        if (folder / "bundle.json").is_file() and open_bundle(folder, verify=False).id == bundle_id:
            return open_bundle(folder)
    return None
