"""The verb that puts evaluations side by side: page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.common import AsJson, local_path, local_report, out, print_result
from orchestration.cli.verb import add_verbs
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from orchestration.workflows.evaluation_page import PageResult

PANEL = "Inference"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (page,))


def page(
    reports: Annotated[
        list[Path],
        typer.Argument(
            parser=local_report,
            metavar="REPORT...",
            help="Evaluations of the same clips, their report.json or folders; that of interest first.",
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out", parser=local_path, metavar="PATH", help="Folder; runs/pages/DIGEST if not given."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put evaluated systems side by side on one page, with their clips."""
    from orchestration.workflows.evaluation_page import PageOptions, write_side_by_side
    from orchestration.workspace import Workspace

    result = write_side_by_side(PageOptions(reports, folder), Workspace.current())
    print_result(result, partial(_print_page, result), as_json)


def _print_page(result: PageResult) -> None:
    out().print(f"page {display_path(result.page)}")
