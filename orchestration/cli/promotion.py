"""Verbs over the ledger: promote, rollback, lineage, registry."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.common import Actor, AsJson, Note, out, print_json, print_table, short, shown

PANEL = "Promotion"
LedgerPreset = Annotated[str | None, typer.Option("--preset", help="Only this preset.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for verb in (promote, rollback, lineage, registry):
        app.command(rich_help_panel=PANEL)(verb)


def promote(
    bundle: Annotated[
        str | None,
        typer.Argument(help="Bundle folder or id; the newest accepted stage-3 bundle if not given."),
    ] = None,
    preset: LedgerPreset = None,
    actor: Actor = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Make a bundle the champion of its preset."""
    from orchestration.registry.mlflow_registry import mirror_champion
    from orchestration.registry.promotion import promote as act
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    entry = act(workspace.ledger, bundle, preset=preset, actor=actor, note=note)
    remark = mirror_champion(workspace.mlflow_uri, entry, workspace.ledger.path_of(entry))
    if as_json:
        print_json(entry)
        return
    replaced = f", replacing {short(entry.replaced)}" if entry.replaced else ""
    out().print(f"champion of {entry.preset}: {short(entry.bundle_id)} (stage {entry.stage}){replaced}")
    out().print(f"bundle {shown(workspace.ledger.path_of(entry))}")
    if remark:
        typer.echo(remark, err=True)


def rollback(
    preset: LedgerPreset = None, actor: Actor = None, note: Note = "", as_json: AsJson = False
) -> None:
    """Withdraw the champion and reinstate the one before it."""
    from orchestration.registry.mlflow_registry import mirror_champion
    from orchestration.registry.promotion import rollback as act
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    entry = act(workspace.ledger, preset=preset, actor=actor, note=note)
    remark = mirror_champion(workspace.mlflow_uri, entry, workspace.ledger.path_of(entry))
    if as_json:
        print_json(entry)
        return
    out().print(
        f"champion of {entry.preset}: {short(entry.bundle_id)} again, {short(entry.replaced)} withdrawn"
    )
    if remark:
        typer.echo(remark, err=True)


def lineage(
    bundle: Annotated[
        str | None, typer.Argument(help="Bundle folder or id; the champion if not given.")
    ] = None,
    preset: LedgerPreset = None,
    as_json: AsJson = False,
) -> None:
    """Show what a bundle descends from, each ancestor verified."""
    from orchestration.registry import promotion
    from orchestration.registry.lineage import lineage as ancestors_of
    from orchestration.workspace import Workspace

    ledger = Workspace.current().ledger
    folder, _ = promotion.open_target(ledger, bundle, preset)
    chain = ancestors_of(ledger, folder)
    if as_json:
        print_json({"lineage": chain})
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
                shown(link.path) if link.path else "not on this machine",
            )
            for link in chain
        ],
    )


def registry(preset: LedgerPreset = None, as_json: AsJson = False) -> None:
    """List accepted bundles and champions, after checking the ledger's chain."""
    from orchestration.workspace import Workspace

    ledger = Workspace.current().ledger
    entries = [entry for entry in ledger.entries() if preset in (None, entry.preset)]
    champions = {name: ledger.champion(name) for name in sorted({entry.preset for entry in entries})}
    if as_json:
        print_json({"ledger": ledger.path, "champions": champions, "entries": entries})
        return
    ids = {entry.bundle_id for entry in champions.values() if entry}
    print_table(
        ("when", "event", "bundle", "stage", "preset", "who", "where", ""),
        [
            (
                entry.time,
                entry.kind,
                short(entry.bundle_id),
                entry.stage,
                entry.preset,
                entry.actor,
                shown(ledger.path_of(entry)),
                "champion" if entry.kind != "accepted" and entry.bundle_id in ids else "",
            )
            for entry in entries
        ],
    )
    head = entries[-1].hash[:12] if entries else "empty"
    out().print(f"{len(entries)} entries in {ledger.path}, chain whole, head {head}")
