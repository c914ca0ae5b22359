"""Verb lineage: what a bundle comes from and what became of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import AsJson, bundle_fields, local_path, out, print_json, short
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.lineage import Ancestor
    from orchestration.workflows.lineage import LineageResult

PANEL = "Promotion"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (lineage,))


def lineage(
    bundle: Annotated[
        str | None, typer.Argument(help="Bundle folder, id or alias; the champion if not given.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Only this preset.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(parser=local_path, metavar="FILE", help="Write a page with the drawn graph here."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all bytes of datasets, latents, checkpoints and exports.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw what a bundle comes from and what became of it, with every digest checked again."""
    from orchestration.workflows import lineage as workflow
    from orchestration.workspace import Workspace

    options = workflow.LineageOptions(bundle, preset, deep=deep, page=html)
    result = workflow.lineage(options, Workspace.current())
    if as_json:
        page = {"page": str(result.page)} if result.page else {}
        chain = [_link_fields(link) for link in result.chain]
        print_json({"lineage": chain, "graph": result.graph.as_json(), **page})
    else:
        _print(result)
    result.raise_for_changes()


def _print(result: LineageResult) -> None:
    for line in result.lines:
        out().print(line)
    out().print(result.summary)
    for link in result.chain:
        if link.forced:
            out().print(f"{short(link.id)} was promoted by force: {link.forced}")
    if result.page is not None:
        out().print(f"page {display_path(result.page)}")


def _link_fields(link: Ancestor) -> dict[str, object]:
    fields = dataclasses.asdict(link)
    return {**bundle_fields(fields.pop("id"), fields.pop("path")), **fields}
