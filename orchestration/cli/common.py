"""What all verbs share: shared options, consoles, exit codes, one-line errors, tables, JSON."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from typer.core import TyperGroup

from core.disk_errors import explain
from core.errors import AnimaticError
from core.signals import as_signal_exit
from core.urls import is_url, without_credentials
from orchestration.cli.library_output import LibraryOutput
from orchestration.cli.streams import PlainConsole, Results, printable, write_json
from orchestration.cli.tables import write_table
from orchestration.job_log import current_job, marked

INTERRUPTED = 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="tiny, 256, 512, 1024, 512-lora, 1024-lora; tiny without a GPU."),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Do this as a job of the Ray cluster at this address (http://HEAD:8265, HOST:PORT or auto), and "
        "follow it."
    ),
]
MetricsPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Serve the figures to Prometheus here; 0: a free port.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Ray actors: one for each GPU or core if not given; 0: none, in this process."),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Ray actors with a GPU each, for which a cluster may have to add nodes; 0: the CPU; as many as "
        "there are if not given.",
    ),
]
Codec = Annotated[
    str | None, typer.Option(help="Autoencoder, where the bundle has none: diffusers folder or file.")
]
Encoders = Annotated[
    str | None, typer.Option(help="CLIP, where the bundle has none: open_clip's file or a published one.")
]
Actor = Annotated[str | None, typer.Option(help="Who acts, for the ledger; your login name if not given.")]
Note = Annotated[str, typer.Option(help="Why, for the ledger.")]


def local_path(text: str) -> Path:
    """Parser of options that name a local file or folder to write.

    Raises AnimaticError for a URL, which would become a local folder named after its scheme.
    """
    if is_url(text):
        raise AnimaticError(
            f"{text} is a URL, but this is written to a local path: name one, and copy the result from there"
        )
    return Path(text)


def local_source(text: str) -> Path:
    """Parser of options that name a local file or folder to read. Raises AnimaticError for a URL."""
    if is_url(text):
        raise AnimaticError(
            f"{text} is a URL, but this is read from a local path: download it, and name that"
        )
    return Path(text)


def local_bundle(text: str) -> str:
    """Parser of options that name a bundle: by a local folder, an id or an alias. Raises AnimaticError for a
    URL."""
    local_source(text)
    return text


def local_report(text: str) -> Path:
    """Parser of options that name a report or the folder of an evaluation. Raises AnimaticError for a URL."""
    from pipelines.evaluate import report_file

    return report_file(local_source(text))


class CommandGroup(TyperGroup):
    """Prints an error that the user can fix as one line on stderr, and Ctrl-C as another."""

    def invoke(self, ctx: Any) -> object:  # a context of typer's own copy of click
        try:
            return super().invoke(ctx)
        except AnimaticError as error:
            _print_error(str(error))
            raise typer.Exit(1) from error
        except OSError as error:
            reason = explain(error)
            if reason is None:
                raise
            _print_error(reason)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            typer.echo(str(stop) or "interrupted: finished work is kept; the same command resumes", err=True)
            raise typer.Exit(INTERRUPTED) from stop
        except SystemExit as exit:
            signalled = as_signal_exit(exit)
            if signalled is None:
                raise
            typer.echo(str(signalled), err=True)
            raise typer.Exit(signalled.exit_code) from exit


def out() -> Console:
    """Where results go; text is printed as it is."""
    return Results(highlight=False, soft_wrap=True)


def err() -> Console:
    """Where progress and warnings go; text is printed as it is."""
    return PlainConsole(stderr=True, highlight=False)


def given(context: typer.Context, *parameters: str) -> list[str]:
    """Those of the named parameters that the user set, as options: ``--seed``, ``--set``."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name in parameters and _on_command_line(context, option.name)
    ]


def refuse(options: Sequence[str], reason: str) -> None:
    """Raise AnimaticError for the first of the ``options`` that were set and would be without effect."""
    if options:
        raise AnimaticError(f"{options[0]} is without effect {reason}")


def check_workers(context: typer.Context, workers: int | None) -> None:
    """Refuse ``--address`` where ``--workers 0`` does the work in this process."""
    if workers == 0:
        refuse(given(context, "address"), "with --workers 0, which uses no Ray")


@contextlib.contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Inside, output of libraries goes to stderr: Ray, for one, reports lost nodes on stdout, in colour."""
    with contextlib.closing(LibraryOutput()) as output, contextlib.redirect_stdout(output):
        yield


def print_warning(message: str, console: Console | None = None) -> None:
    """One line on stderr about something that did not stop the work; on the ``console`` of a live display."""
    (console or err()).print(message, style="yellow", soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON object on stdout; dataclasses and pydantic models are written as their fields."""
    write_json(value, _json_form)


def print_result(value: object, text: Callable[[], None], as_json: bool) -> None:
    """The result of a verb, as one JSON object or as ``text`` prints it; in a job both, marked in its log."""
    job = current_job()
    if job is not None:
        with marked(job, "text"):
            text()
    with marked(job, "json") if job is not None else contextlib.nullcontext():
        if job is not None or as_json:
            print_json(value)
        else:
            text()


def bundle_fields(bundle_id: str, folder: Path | None) -> dict[str, str | None]:
    """How every verb's JSON names a bundle: as the ledger's entries do."""
    return {"bundle_id": bundle_id, "bundle_path": str(folder) if folder else None}


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A small table on stdout; None becomes a dash."""
    write_table(out(), columns, rows)


def print_reasons(reasons: Mapping[str, int]) -> None:
    """Counts of rejections by reason, the most frequent first."""
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        note = ": stored with the first row of their video" if reason == "further_caption" else ""
        out().print(f"  {count:6d}  {reason}{note}")


def print_work(made: int, skipped: int, seconds: float) -> None:
    """How many units of a job were made now, and how many were finished before."""
    if made:
        before = f", {skipped} finished before" if skipped else ""
        out().print(f"{made} {'unit' if made == 1 else 'units'} in {seconds:.0f} s{before}")
    else:
        out().print("nothing left to do: every unit was finished before")


def short(digest: str | None) -> str:
    """The first 12 digits of a digest, enough to distinguish bundles."""
    return digest[:12] if digest else "-"


def _on_command_line(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _print_error(message: str) -> None:
    line = printable(" ".join(without_credentials(message).split()))
    typer.echo(f"error: {line}", err=True)


def _json_form(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
