"""Verbs over the registry: promote, rollback, lineage, registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Actor,
    AsJson,
    Note,
    bundle_fields,
    given,
    local_report,
    out,
    print_json,
    print_table,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.gate import ChampionReport, GateFile, Study, print_grounds, print_refusal
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.lineage import Ancestor
    from orchestration.workflows.promotion import PromotionResult
    from orchestration.workflows.registry_listing import ListedEntry

PANEL = "Promotion"
LedgerPreset = Annotated[str | None, typer.Option("--preset", help="Only this preset.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (promote, rollback, lineage, registry))


def promote(
    context: typer.Context,
    bundle: Annotated[
        str | None,
        typer.Argument(help="Bundle folder or id; the newest accepted stage-3 bundle if not given."),
    ] = None,
    preset: LedgerPreset = None,
    report: Annotated[
        Path | None,
        typer.Option(
            parser=local_report,
            metavar="PATH",
            help="Evaluation report of the bundle; the newest one in runs/evaluations if not given.",
        ),
    ] = None,
    gate: GateFile = None,
    champion_report: ChampionReport = None,
    study: Study = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote without the gate's consent; needs --reason.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --force; the ledger keeps it.")] = None,
    actor: Actor = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Make a bundle the champion of its preset, if its report passes the gate."""
    if force and not (reason or "").strip():
        raise typer.BadParameter("give the reason: --reason TEXT", ctx=context, param_hint="--force")
    if not force:
        refuse(given(context, "reason"), "without --force")
    from orchestration.workflows import promotion
    from orchestration.workflows.gate_records import GateOptions
    from orchestration.workspace import Workspace

    options = promotion.PromoteOptions(
        bundle, preset, actor, note, GateOptions(report, gate, champion_report, study), forced=reason or ""
    )
    with print_refusal(as_json):
        result = promotion.promote(options, Workspace.current())
    entry = result.entry
    replaced = f", replacing {short(entry.replaced)}" if entry.replaced else ""
    if result.unchanged:
        print_warning(f"{short(entry.bundle_id)} is champion already: no report was judged, nothing recorded")
    elif not as_json:
        print_grounds(entry)
    _print(result, f"{short(entry.bundle_id)} (stage {entry.stage}){replaced}", as_json)


def rollback(
    preset: LedgerPreset = None, actor: Actor = None, note: Note = "", as_json: AsJson = False
) -> None:
    """Withdraw the champion and reinstate the previous one."""
    from orchestration.workflows import promotion
    from orchestration.workspace import Workspace

    result = promotion.rollback(promotion.RollbackOptions(preset, actor, note), Workspace.current())
    entry = result.entry
    _print(result, f"{short(entry.bundle_id)} again, {short(entry.replaced)} withdrawn", as_json)


def lineage(
    bundle: Annotated[
        str | None, typer.Argument(help="Bundle folder or id; the champion if not given.")
    ] = None,
    preset: LedgerPreset = None,
    as_json: AsJson = False,
) -> None:
    """List what a bundle descends from, each ancestor verified."""
    from orchestration.workflows import lineage as workflow
    from orchestration.workspace import Workspace

    chain = workflow.lineage(workflow.LineageOptions(bundle, preset), Workspace.current())
    if as_json:
        print_json({"lineage": [_link_fields(link) for link in chain]})
        return
    print_table(
        ("bundle", "stage", "preset", "config", "dataset", "where"),
        [
            (
                short(link.id),
                link.stage,
                link.preset,
                short(link.config_hash),
                short(link.dataset_digest),
                display_path(link.path) if link.path else "not on this machine",
            )
            for link in chain
        ],
    )
    for link in chain:
        if link.forced:
            out().print(f"{short(link.id)} was promoted by force: {link.forced}")


def registry(preset: LedgerPreset = None, as_json: AsJson = False) -> None:
    """List accepted bundles and champions, after checking the ledger's chain."""
    from orchestration.workflows.registry_listing import list_registry
    from orchestration.workspace import Workspace

    listing = list_registry(Workspace.current(), preset)
    if as_json:
        entries = [row.entry for row in listing.entries]
        found = {"ledger": listing.ledger, "head": listing.head, "champions": listing.champions}
        print_json({**found, "entries": entries})
        return
    print_table(
        ("when", "event", "bundle", "stage", "preset", "who", "where", ""),
        [
            (
                row.entry.time,
                row.entry.kind,
                short(row.entry.bundle_id),
                row.entry.stage,
                row.entry.preset,
                row.entry.actor,
                display_path(row.folder),
                _state(row),
            )
            for row in listing.entries
        ],
    )
    head = short(listing.head) if listing.head else "empty"
    for problem in listing.problems:
        print_warning(problem)
    count = f"{len(listing.entries)} of " if preset else ""
    out().print(f"{count}{listing.total} entries in {listing.ledger}, chain verified, head {head}")


def _print(result: PromotionResult, change: str, as_json: bool) -> None:
    if as_json:
        print_json(result.entry)
    else:
        out().print(f"champion of {result.entry.preset}: {change}")
        out().print(f"bundle {display_path(result.folder)}")
    if result.warning:
        print_warning(result.warning)


def _state(row: ListedEntry) -> str:
    """What became of an entry, and how it was decided."""
    decided = "gate passed" if row.entry.gate is not None and row.entry.gate.outcome == "PASS" else ""
    if row.entry.forced:
        decided = f"forced: {row.entry.forced}"
    return ", ".join(filter(None, ("champion" if row.champion else "", decided)))


def _link_fields(link: Ancestor) -> dict[str, object]:
    fields = dataclasses.asdict(link)
    return {**bundle_fields(fields.pop("id"), fields.pop("path")), **fields}
