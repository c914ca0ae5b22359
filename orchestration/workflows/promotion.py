"""Give a bundle an alias, through the gate to champion, or return to the previous champion."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from models.bundle import Bundle
from orchestration import registry
from orchestration.workflows.gate_records import GateOptions, GateRefusalError
from orchestration.workflows.tracked_changes import follow_change
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class PromoteOptions:
    """``bundle``: a folder or an id; the newest accepted bundle of the last stage (of ``preset``) if None.

    ``actor`` and ``note`` are recorded in the ledger; the login name and nothing if not given. ``gate``: the
    report and what it is compared with. ``forced``: the reason for promoting without the gate's consent,
    which the ledger keeps; empty: the gate must pass. ``alias``: the one to give; only ``champion`` needs the
    gate.
    """

    bundle: str | Path | None = None
    preset: str | None = None
    actor: str | None = None
    note: str = ""
    gate: GateOptions = field(default_factory=GateOptions)
    forced: str = ""
    alias: str = registry.CHAMPION


@dataclass(frozen=True)
class RollbackOptions:
    """``preset`` None: the preset that was promoted or rolled back last."""

    preset: str | None = None
    actor: str | None = None
    note: str = ""


@dataclass(frozen=True)
class PromotionResult:
    """Whose alias it is now: its ledger entry and folder; ``warning`` if MLflow could not be updated.

    ``unchanged``: the bundle had the alias before, so that no report was judged and nothing recorded.
    """

    entry: registry.Entry
    folder: Path
    warning: str | None
    unchanged: bool = False


def promote(options: PromoteOptions, workspace: Workspace) -> PromotionResult:
    """Verify a bundle and give it an alias of its preset: to be champion, the gate must pass its report.

    Raises:
        GateRefusalError: the gate does not pass.
        AnimaticError: no such bundle, one that fails verification, no report of it, no possible alias, a
            conflict with another process, or a damaged ledger.
    """
    registry.check_alias(options.alias)
    ledger = workspace.ledger
    if options.bundle is None:
        bundle = registry.newest_final_bundle(ledger, options.preset)
    else:
        bundle = registry.named_bundle(ledger, options.bundle, options.preset)

    before = ledger.entries()

    def judge(champion: registry.Entry | None) -> registry.Grounds:
        return _grounds(bundle, champion, options, workspace)

    if options.alias == registry.CHAMPION:
        entry = registry.promote(ledger, bundle, judge, actor=options.actor, note=options.note)
    else:
        entry = registry.give_alias(ledger, bundle, options.alias, actor=options.actor, note=options.note)
    return dataclasses.replace(_mirrored(entry, workspace), unchanged=entry in before)


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
    ledger = workspace.ledger
    warning = follow_change(entry, workspace)
    return PromotionResult(entry, ledger.path_of(entry), warning)


def _grounds(
    bundle: Bundle, champion: registry.Entry | None, options: PromoteOptions, workspace: Workspace
) -> registry.Grounds:
    """The decision of the gate. Where it does not pass, or there is no report, a reason must force it."""
    from orchestration.workflows.gate import Gatekeeper
    from orchestration.workflows.reports import name_of, reports_of

    if options.forced and options.gate.report is None and not reports_of(bundle.id, workspace):
        return registry.Grounds(forced=options.forced)
    keeper = Gatekeeper(
        bundle.id, bundle.info.preset, options.gate, workspace, name_of(bundle, workspace.ledger)
    )
    judgement = keeper.judge(champion)
    passed = judgement.decision.outcome == "PASS"
    if not passed and not options.forced:
        raise GateRefusalError(judgement)
    keeper.keep(judgement)
    forced = "" if passed else options.forced
    return registry.Grounds(registry.GateRecord.of(judgement.decision), forced)
