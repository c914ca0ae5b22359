"""The verb around the API keys of the service: api-key create, list, revoke."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import AsJson, err, given, local_source, out, print_json, print_table, refuse
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.serving.access import Key

PANEL = "Serving"


class Action(StrEnum):
    """What to do with API keys."""

    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (api_key,))


def api_key(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="create a key; list all; revoke one.")],
    keys: Annotated[
        Path,
        typer.Option(parser=local_source, metavar="FILE", help="The file of keys, http.keys of the service."),
    ],
    name: Annotated[str | None, typer.Argument(help="For create and revoke: whose key.")] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="With create: may see all videos and roll models back.")
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="With create: videos a minute; limits.requests_per_minute if not given.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """API keys of the service: create one, list them, or revoke one. The file has digests alone; a running
    service reads it again when it changes."""
    if action is not Action.CREATE:
        refuse(given(context, "admin", "rate"), f"with {action}")
    if action is Action.LIST:
        if name is not None:
            raise AnimaticError(f"{name} is without effect with list, which lists all keys")
        _list(keys, as_json)
        return
    if name is None:
        raise AnimaticError(f"name the key, as in `animatic api-key {action} NAME --keys {keys}`")
    if action is Action.CREATE:
        _create(keys, name, admin, rate, as_json)
    else:
        _revoke(keys, name, as_json)


def _create(keys: Path, name: str, admin: bool, rate: int | None, as_json: bool) -> None:
    from orchestration.workflows.api_keys import CreateKeyOptions, create

    made = create(CreateKeyOptions(name, keys, admin, rate))
    if as_json:
        print_json({**_fields(made.key), "key": made.secret, "file": str(keys)})
        return
    kind = "admin key" if admin else "key"
    err().print(f"{kind} of {name}, added to {keys}; it is printed this once:")
    out().print(made.secret)


def _list(keys: Path, as_json: bool) -> None:
    from orchestration.workflows.api_keys import listing

    found = listing(keys)
    if as_json:
        print_json({"keys": [_fields(key) for key in found]})
        return
    rows = [
        (key.name, "admin" if key.admin else "", key.requests_per_minute, f"{key.created:%Y-%m-%d %H:%M}")
        for key in found
    ]
    print_table(("name", "kind", "videos a minute", "created (UTC)"), rows)


def _revoke(keys: Path, name: str, as_json: bool) -> None:
    from orchestration.workflows.api_keys import revoke

    key = revoke(keys, name)
    if as_json:
        print_json(_fields(key))
    else:
        out().print(f"the key of {name} is revoked")


def _fields(key: Key) -> dict[str, object]:
    return {
        "name": key.name,
        "admin": key.admin,
        "requests_per_minute": key.requests_per_minute,
        "created": key.created.isoformat(),
    }
