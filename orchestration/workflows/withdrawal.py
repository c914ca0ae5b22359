"""Withdraw a bundle from use, or an alias from a bundle; record where a bundle is served."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration import registry
from orchestration.workflows.tracked_changes import follow_change
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class WithdrawOptions:
    """``bundle``: a folder, an id or an alias (of ``preset``).

    ``alias``: removed from it; None: the bundle is withdrawn from use, with ``force`` also where aliases
    point at it, which are removed.
    """

    bundle: str
    reason: str
    alias: str | None = None
    preset: str | None = None
    force: bool = False
    actor: str | None = None


@dataclass(frozen=True)
class DeploymentOptions:
    """``bundle``: a folder, an id or an alias (of ``preset``); ``location``: URL of what serves it."""

    bundle: str
    location: str
    preset: str | None = None
    actor: str | None = None
    note: str = ""


def withdraw(options: WithdrawOptions, workspace: Workspace) -> tuple[registry.Entry, str | None]:
    """Record the withdrawal; a warning if MLflow could not be updated.

    Raises:
        AnimaticError: no such bundle, it lacks the alias, or it has some without ``force``.
    """
    known = registry.known_bundle(workspace.ledger, options.bundle, options.preset)
    entry = registry.withdraw(
        workspace.ledger,
        known,
        options.reason,
        alias=options.alias,
        force=options.force,
        actor=options.actor,
    )
    return entry, follow_change(entry, workspace)


def record_deployment(options: DeploymentOptions, workspace: Workspace) -> tuple[registry.Entry, str | None]:
    """Record the deployment; a warning if the bundle was withdrawn from use, or MLflow could not be updated.

    Raises:
        AnimaticError: no such bundle, or the ledger is damaged.
    """
    known = registry.known_bundle(workspace.ledger, options.bundle, options.preset)
    entry = registry.record_deployment(
        workspace.ledger, known, options.location, actor=options.actor, note=options.note
    )
    warnings = [follow_change(entry, workspace)]
    withdrawn = workspace.ledger.withdrawn(known.bundle_id)
    if withdrawn is not None:
        warnings.append(
            f"bundle {known.bundle_id[:12]} was withdrawn from use ({withdrawn.note}): deploy another one"
        )
    return entry, "; ".join(filter(None, warnings)) or None
