"""The verb over the ledger: registry list, verify, log, record-deployment, mirror."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    Actor,
    AsJson,
    Note,
    bundle_fields,
    given,
    out,
    print_json,
    print_table,
    print_warning,
    refuse,
    short,
)
from orchestration.cli.registry_mirror import mirror
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.registry import Entry
    from orchestration.workflows.registry_listing import ListedEntry

PANEL = "Promotion"
FILTERS = ("kind", "alias", "of_bundle", "stage")


class Action(StrEnum):
    """What to do with the registry."""

    LIST = "list"
    VERIFY = "verify"
    LOG = "log"
    RECORD_DEPLOYMENT = "record-deployment"
    MIRROR = "mirror"


class EventKind(StrEnum):
    """Kinds of entries, as in :data:`orchestration.registry.Kind`."""

    ACCEPTED = "accepted"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    EXPORTED = "exported"
    DEPLOYED = "deployed"
    WITHDRAWN = "withdrawn"


# The options that each action uses, besides --json.
USED = {
    Action.LIST: ("preset", *FILTERS),
    Action.VERIFY: ("expect_head",),
    Action.LOG: ("preset",),
    Action.RECORD_DEPLOYMENT: ("preset", "at", "actor", "note"),
    Action.MIRROR: ("mlflow_uri",),
}
OPTIONS = ("preset", *FILTERS, "expect_head", "at", "mlflow_uri", "actor", "note")
OF_A_BUNDLE = (Action.LOG, Action.RECORD_DEPLOYMENT)

What = Annotated[
    Action,
    typer.Argument(
        help="list the entries; verify every byte of the ledger; log all events of a bundle; "
        "record-deployment of a bundle; mirror the ledger in MLflow's registry."
    ),
]
Named = Annotated[
    str | None, typer.Argument(help="For log and record-deployment: a bundle's folder, id or alias.")
]
OfBundle = Annotated[
    str | None, typer.Option("--bundle", help="list: only events of this bundle: folder, id or alias.")
]
Head = Annotated[
    str | None,
    typer.Option(
        metavar="HASH", help="verify: hash of an entry that must be there, as `registry` printed it."
    ),
]
At = Annotated[str | None, typer.Option(metavar="URL", help="record-deployment: of what serves the bundle.")]
MlflowUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="mirror: only this store; those of all bundles with an alias if not given."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (registry,))


def registry(
    context: typer.Context,
    action: What = Action.LIST,
    bundle: Named = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Only this preset.")] = None,
    kind: Annotated[EventKind | None, typer.Option(help="list: only events of this kind.")] = None,
    alias: Annotated[str | None, typer.Option(help="list: only events of this alias.")] = None,
    of_bundle: OfBundle = None,
    stage: Annotated[int | None, typer.Option(min=0, help="list: only bundles of this stage.")] = None,
    expect_head: Head = None,
    at: At = None,
    mlflow_uri: MlflowUri = None,
    actor: Actor = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """List accepted bundles, champions and other events, after checking the ledger's chain."""
    unused = [option for option in OPTIONS if option not in USED[action]]
    refuse(given(context, *unused), f"with {action}")
    named = _named(action, bundle)
    if action is Action.LIST:
        _list(preset, kind, alias, of_bundle, stage, as_json)
    elif action is Action.VERIFY:
        _verify(expect_head, as_json)
    elif action is Action.MIRROR:
        mirror(mlflow_uri, as_json)
    elif action is Action.LOG:
        _log(named, preset, as_json)
    elif at is None:
        raise AnimaticError("name what serves the bundle: --at URL")
    else:
        _record_deployment(named, preset, at, actor, note, as_json)


def _named(action: Action, bundle: str | None) -> str:
    """The bundle's name, empty for an action on all of them. Raises AnimaticError for one too few or many."""
    if action in OF_A_BUNDLE:
        if bundle is None:
            raise AnimaticError(f"name the bundle, as in `animatic registry {action} champion`")
        return bundle
    if bundle is not None:
        fix = f"use --bundle {bundle}" if action is Action.LIST else "leave it out"
        raise AnimaticError(f"{bundle} is without effect with {action}: {fix}")
    return ""


def _list(
    preset: str | None,
    kind: EventKind | None,
    alias: str | None,
    bundle: str | None,
    stage: int | None,
    as_json: bool,
) -> None:
    from orchestration.registry import Kind
    from orchestration.workflows.registry_listing import RegistryFilter, list_registry
    from orchestration.workspace import Workspace

    of_kind = next((each for each in get_args(Kind) if each == kind), None)
    chosen = RegistryFilter(preset, of_kind, alias, bundle, stage)
    listing = list_registry(Workspace.current(), chosen)
    if as_json:
        print_json(
            {
                "ledger": listing.ledger,
                "head": listing.head,
                "champions": listing.champions,
                "aliases": listing.aliases,
                "entries": [row.entry for row in listing.entries],
            }
        )
        return
    print_table(
        ("when", "event", "bundle", "stage", "preset", "who", "where", ""),
        [
            (
                row.entry.time,
                _event(row.entry),
                short(row.entry.bundle_id),
                row.entry.stage,
                row.entry.preset,
                row.entry.actor,
                row.entry.location or display_path(row.folder),
                _state(row),
            )
            for row in listing.entries
        ],
    )
    head = short(listing.head) if listing.head else "empty"
    for problem in listing.problems:
        print_warning(problem)
    count = f"{len(listing.entries)} of " if chosen != RegistryFilter() else ""
    out().print(f"{count}{listing.total} entries in {listing.ledger}, chain verified, head {head}")


def _verify(expect_head: str | None, as_json: bool) -> None:
    from orchestration.workflows.registry_listing import verify_registry
    from orchestration.workspace import Workspace

    found = verify_registry(Workspace.current(), expect_head)
    if as_json:
        print_json(
            {
                "ledger": found.ledger,
                "head": found.head,
                "total": found.total,
                "problems": found.problems,
                "remarks": found.remarks,
            }
        )
    else:
        for problem in found.problems:
            out().print(problem)
    for remark in found.remarks:
        print_warning(remark)
    if found.problems:
        number = "one problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        raise AnimaticError(f"{found.ledger} or its evidence is damaged: {number}; restore it from a backup")
    if not as_json:
        out().print(f"{found.ledger} is intact: {found.total} entries, head {found.head or 'empty'}")


def _log(bundle: str, preset: str | None, as_json: bool) -> None:
    from orchestration.workflows.registry_listing import bundle_log
    from orchestration.workspace import Workspace

    log = bundle_log(Workspace.current(), bundle, preset)
    if as_json:
        print_json(
            {
                **bundle_fields(log.bundle_id, log.folder),
                "held": log.aliases,
                "withdrawn": log.withdrawn,
                "entries": log.entries,
            }
        )
        return
    print_table(
        ("when", "event", "who", "where", "why"),
        [
            (entry.time, _event(entry), entry.actor, entry.location or display_path(folder), _why(entry))
            for entry, folder in zip(log.entries, log.folders, strict=True)
        ],
    )
    held = "withdrawn from use" if log.withdrawn else ", ".join(log.aliases) or "no alias"
    out().print(f"bundle {log.bundle_id} in {display_path(log.folder)}: {held}")


def _record_deployment(
    bundle: str, preset: str | None, at: str, actor: str | None, note: str, as_json: bool
) -> None:
    from orchestration.workflows.withdrawal import DeploymentOptions, record_deployment
    from orchestration.workspace import Workspace

    options = DeploymentOptions(bundle, at, preset, actor, note)
    entry, warning = record_deployment(options, Workspace.current())
    if as_json:
        print_json(entry)
    else:
        out().print(f"{short(entry.bundle_id)} is served at {entry.location}, since {entry.time}")
    if warning:
        print_warning(warning)


def _event(entry: Entry) -> str:
    """The kind, and the alias where it is not the champion."""
    return entry.kind if entry.moved_alias in ("", "champion") else f"{entry.kind} {entry.moved_alias}"


def _why(entry: Entry) -> str:
    decided = "gate passed" if entry.gate is not None and entry.gate.outcome == "PASS" else ""
    if entry.forced:
        decided = f"forced: {entry.forced}"
    return ", ".join(filter(None, (decided, entry.note)))


def _state(row: ListedEntry) -> str:
    """What became of an entry, and how it was decided."""
    state = "withdrawn" if row.withdrawn else ", ".join(row.aliases)
    decided = "gate passed" if row.entry.gate is not None and row.entry.gate.outcome == "PASS" else ""
    if row.entry.forced:
        decided = f"forced: {row.entry.forced}"
    reason = row.entry.note if row.entry.kind == "withdrawn" else ""
    return ", ".join(filter(None, (state, decided, reason)))
