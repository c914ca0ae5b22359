"""What a bundle descends from."""

from __future__ import annotations

from dataclasses import dataclass

from models.bundle import open_bundle
from orchestration.lineage import Ancestor, trace_lineage
from orchestration.registry import select_bundle
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class LineageOptions:
    """``bundle``: a folder or an id; the champion (of ``preset``, if given) if None."""

    bundle: str | None = None
    preset: str | None = None


def lineage(options: LineageOptions, workspace: Workspace) -> list[Ancestor]:
    """The bundle and its ancestors, nearest first, each verified.

    Raises:
        AnimaticError: no such bundle, or one of them fails verification.
    """
    ledger = workspace.ledger
    bundle = select_bundle(
        ledger,
        options.bundle,
        options.preset,
        named_by="`animatic lineage FOLDER`",
        opening=open_bundle,  # its weights are not used, so that no signature is needed
    )
    return trace_lineage(ledger, bundle)
