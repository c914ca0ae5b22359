"""Histories of a ledger without a ledger, for what only asks questions."""

from pathlib import Path
from typing import Any

from orchestration.registry.entry import Draft, Kind
from orchestration.registry.history import Snapshot


def event(kind: Kind, bundle: str, *, preset: str = "tiny", **more: Any) -> Draft:
    """An event of the bundle whose id repeats a letter and whose folder has that name."""
    return Draft(kind, bundle * 64, Path(bundle), 3, preset, "ann", **more)


def history(root: Path, *events: Draft) -> Snapshot:
    """The events as entries of a ledger in ``root``."""
    entries = (draft.entry(seq, "0" * 64, str(draft.bundle_path)) for seq, draft in enumerate(events))
    return Snapshot("the ledger", root, tuple(entries))
