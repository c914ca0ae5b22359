"""What all verbs share: consoles, exit codes, one-line errors, tables, JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from core.errors import AnimaticError

INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Preset = Annotated[
    str | None, typer.Option("--preset", help="tiny, 256, 512 or 1024; tiny if there is no GPU.")
]
Actor = Annotated[str | None, typer.Option(help="Who acts, for the ledger; your login name if not given.")]
Note = Annotated[str, typer.Option(help="Why, for the ledger.")]


class CommandGroup(TyperGroup):
    """Turns what the user can mend into one line on stderr, and Ctrl-C into a clear one."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AnimaticError as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            typer.echo(
                "interrupted: nothing that was finished is lost; the same command carries on", err=True
            )
            raise typer.Exit(INTERRUPTED) from stop


def out() -> Console:
    """Results."""
    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Progress and remarks."""
    return Console(stderr=True, highlight=False)


def only_results_on_stdout() -> AbstractContextManager[object]:
    """Inside, what libraries print goes to stderr: Ray, for one, reports lost workers on stdout."""
    return contextlib.redirect_stdout(sys.stderr)


def print_json(value: Any) -> None:
    """One JSON object on stdout; dataclasses and pydantic models are written as their fields."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A small table on stdout."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    out().print(table)


def short(digest: str | None) -> str:
    """The beginning of a digest, enough to tell bundles apart."""
    return digest[:12] if digest else "-"


def shown(path: Path | str) -> str:
    """A path relative to where the user is, if it lies there; a URL as it is."""
    if "://" in str(path):
        return str(path)
    resolved, here = Path(path).resolve(), Path.cwd()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(path)


def named_dataset(given: str | None) -> str:
    """The dataset that was named, or else the newest. Raises AnimaticError if there is none."""
    from orchestration.workspace import Workspace

    if given is not None:
        return given
    newest = Workspace.current().newest_dataset()
    if newest is None:
        raise AnimaticError("there is no dataset here yet: name one, or make one with `animatic ingest`")
    return str(newest)


def print_reasons(reasons: dict[str, int]) -> None:
    """Rejections, the most frequent first."""
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        out().print(f"  {count:6d}  {reason}")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
