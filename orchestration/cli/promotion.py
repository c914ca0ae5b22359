"""Verbs that change who has an alias: promote, rollback, withdraw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import (
    Actor,
    AsJson,
    Note,
    given,
    local_report,
    out,
    print_json,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.gate import ChampionReport, GateFile, Study, print_grounds, print_refusal
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.promotion import PromotionResult

PANEL = "Promotion"
LedgerPreset = Annotated[str | None, typer.Option("--preset", help="Only this preset.")]

Report = Annotated[
    Path | None,
    typer.Option(
        parser=local_report,
        metavar="PATH",
        help="Evaluation report of the bundle; the newest one in runs/evaluations if not given.",
    ),
]
To = Annotated[
    str, typer.Option(metavar="ALIAS", help="The alias to give; others than champion need no report.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (promote, rollback, withdraw))


def promote(
    context: typer.Context,
    bundle: Annotated[
        str | None,
        typer.Argument(help="Bundle folder, id or alias; the newest accepted stage-3 bundle if not given."),
    ] = None,
    preset: LedgerPreset = None,
    report: Report = None,
    gate: GateFile = None,
    champion_report: ChampionReport = None,
    study: Study = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote without the gate's consent; needs --reason.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --force; the ledger keeps it.")] = None,
    to: To = "champion",
    actor: Actor = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Make a bundle the champion of its preset, if its report passes the gate; or give it another alias."""
    if to != "champion":
        unused = given(context, "report", "gate", "champion_report", "study", "force", "reason")
        refuse(unused, f"with --to {to}: only the champion goes through the gate")
    if force and not (reason or "").strip():
        raise typer.BadParameter("give the reason: --reason TEXT", ctx=context, param_hint="--force")
    if not force:
        refuse(given(context, "reason"), "without --force")
    from orchestration.workflows import promotion
    from orchestration.workflows.gate_records import GateOptions
    from orchestration.workspace import Workspace

    judged = GateOptions(report, gate, champion_report, study)
    options = promotion.PromoteOptions(bundle, preset, actor, note, judged, forced=reason or "", alias=to)
    with print_refusal(as_json):
        result = promotion.promote(options, Workspace.current())
    entry = result.entry
    replaced = f", replacing {short(entry.replaced)}" if entry.replaced else ""
    if result.unchanged:
        print_warning(f"{short(entry.bundle_id)} is {to} already: no report was judged, nothing recorded")
    elif not as_json:
        print_grounds(entry)
    _print(result, f"{short(entry.bundle_id)} (stage {entry.stage}){replaced}", as_json)


def rollback(
    preset: LedgerPreset = None, actor: Actor = None, note: Note = "", as_json: AsJson = False
) -> None:
    """Reinstate the previous champion."""
    from orchestration.workflows import promotion
    from orchestration.workspace import Workspace

    result = promotion.rollback(promotion.RollbackOptions(preset, actor, note), Workspace.current())
    entry = result.entry
    _print(result, f"{short(entry.bundle_id)} again, replacing {short(entry.replaced)}", as_json)


def withdraw(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, id or alias.")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it.")],
    alias: Annotated[
        str | None,
        typer.Option("--from", metavar="ALIAS", help="Only remove this alias from the bundle."),
    ] = None,
    preset: LedgerPreset = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also if aliases point at the bundle, which are removed.")
    ] = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a bundle from use for good, or remove an alias from it."""
    if alias is not None and force:
        refuse(["--force"], "with --from, which removes one alias in any case")
    from orchestration.workflows import withdrawal
    from orchestration.workspace import Workspace

    options = withdrawal.WithdrawOptions(bundle, reason, alias, preset, force, actor)
    entry, warning = withdrawal.withdraw(options, Workspace.current())
    if as_json:
        print_json(entry)
    elif entry.alias:
        out().print(f"{short(entry.bundle_id)} is no longer {entry.alias} of {entry.preset}")
    else:
        aliases = f"; it {entry.forced}" if entry.forced else ""
        out().print(f"{short(entry.bundle_id)} is withdrawn from use{aliases}")
    if warning:
        print_warning(warning)


def _print(result: PromotionResult, change: str, as_json: bool) -> None:
    if as_json:
        print_json(result.entry)
    else:
        out().print(f"{result.entry.moved_alias} of {result.entry.preset}: {change}")
        out().print(f"bundle {display_path(result.folder)}")
    if result.warning:
        print_warning(result.warning)
