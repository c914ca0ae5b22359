"""Promote a bundle to champion, or return to the previous champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration import registry
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class PromoteOptions:
    """``bundle``: a folder or an id; the newest accepted bundle of the last stage (of ``preset``) if None.

    ``actor`` and ``note`` are recorded in the ledger; the login name and nothing if not given.
    """

    bundle: str | Path | None = None
    preset: str | None = None
    actor: str | None = None
    note: str = ""


@dataclass(frozen=True)
class RollbackOptions:
    """``preset`` None: the preset that was promoted or rolled back last."""

    preset: str | None = None
    actor: str | None = None
    note: str = ""


@dataclass(frozen=True)
class PromotionResult:
    """The present champion: its ledger entry and folder; ``warning`` if MLflow could not be updated."""

    entry: registry.Entry
    folder: Path
    warning: str | None


def promote(options: PromoteOptions, workspace: Workspace) -> PromotionResult:
    """Verify a bundle and make it the champion of its preset.

    Raises:
        AnimaticError: no such bundle, one that fails verification, or a damaged ledger.
    """
    ledger = workspace.ledger
    if options.bundle is None:
        bundle = registry.newest_final_bundle(ledger, options.preset)
    else:
        bundle = registry.named_bundle(ledger, options.bundle, options.preset)
    return _mirrored(registry.promote(ledger, bundle, actor=options.actor, note=options.note), workspace)


def rollback(options: RollbackOptions, workspace: Workspace) -> PromotionResult:
    """Withdraw the champion and reinstate the previous one, after verifying it.

    Raises:
        AnimaticError: no such preset, no champion, no previous one, one that fails verification, or a damaged
            ledger.
    """
    registry.check_preset(workspace.ledger, options.preset)
    entry = registry.rollback(workspace.ledger, preset=options.preset, actor=options.actor, note=options.note)
    return _mirrored(entry, workspace)


def _mirrored(entry: registry.Entry, workspace: Workspace) -> PromotionResult:
    folder = workspace.ledger.path_of(entry)
    return PromotionResult(entry, folder, registry.mirror_champion(workspace.mlflow_uri, entry, folder))
