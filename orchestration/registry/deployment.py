"""Deployments: what a serving system, or whoever runs it, reports to be in use."""

from __future__ import annotations

import dataclasses

from core.urls import without_credentials
from orchestration.registry.entry import Draft, Entry
from orchestration.registry.history import History
from orchestration.registry.ledger import Ledger


def record_deployment(
    ledger: Ledger, known: Entry, location: str, *, actor: str | None = None, note: str = ""
) -> Entry:
    """Record that a bundle is served at a URL; the same report again returns the existing entry.

    Args:
        known: any entry of the bundle.
        location: URL of what serves it.

    Raises:
        AnimaticError: the ledger is damaged, locked, or does not answer.
    """

    location = without_credentials(location)  # as entries have it

    def decide(history: History) -> Draft | Entry:
        draft = Draft(
            "deployed",
            known.bundle_id,
            history.path_of(known),
            known.stage,
            known.preset,
            actor,
            note=note,
        )
        draft = dataclasses.replace(draft, location=location)
        at = [entry for entry in history.entries() if (entry.kind, entry.location) == ("deployed", location)]
        return at[-1] if at and at[-1].bundle_id == known.bundle_id else draft

    return ledger.update(decide)
