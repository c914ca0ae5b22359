"""The verb that merges an adapter: merge."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestration.cli.common import AsJson, bundle_fields, err, local_path, out, print_json, short
from orchestration.cli.streams import printable
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

PANEL = "Training"


class Precision(StrEnum):
    """Types that weights are stored in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (merge,))


def merge(
    adapter: Annotated[str, typer.Argument(help="Bundle of an adapter: folder, id or alias.")],
    base: Annotated[
        str | None,
        typer.Option(
            help="The bundle that it was trained on: folder, id or alias; found where it was in training, or "
            "beside the adapter, if not given."
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--out", parser=local_path, metavar="PATH", help="The bundle; ADAPTER-merged if not given."
        ),
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Type of the weights; the base's if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle with whole weights: those of an adapter's base, with the adapter added to them."""
    from orchestration.workflows import merging
    from orchestration.workspace import Workspace

    chosen: merging.Precision | None = None if precision is None else precision.value
    with err().status(Text(printable(f"merging {adapter}"))):
        merged = merging.merge(merging.MergeOptions(adapter, base, target, chosen), Workspace.current())
    if as_json:
        fields = bundle_fields(merged.id, merged.folder)
        print_json({**fields, "adapter": merged.adapter.id, "base": merged.base.id})
        return
    made_of = f"adapter {short(merged.adapter.id)} in {short(merged.base.id)}"
    out().print(f"{made_of}: bundle {short(merged.id)}  {display_path(merged.folder)}")
