"""The verb that answers requests over HTTP: serve."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.common import err, local_source, only_results_on_stdout, out
from orchestration.cli.verb import add_verbs

PANEL = "Inference"

_From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="URL",
        help="What `animatic export --to` wrote to; runs/exports if not given.",
    ),
]
_Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Name of an export, repeatable: the first is required. If not given, champion and challenger.",
    ),
]
_Keys = Annotated[
    Path | None,
    typer.Option(parser=local_source, metavar="FILE", help="API keys of `animatic api-key create`."),
]
_State = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="PATH",
        help="Folder for jobs, clips and models; runs/serving if not given.",
    ),
]
_Config = Annotated[
    list[Path] | None,
    typer.Option(parser=local_source, metavar="FILE", help="YAML file of settings; repeatable."),
]
_Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable."),
]
_Preset = Annotated[
    str | None, typer.Option(help="Of the champion that is exported, where several presets have one.")
]
_Address = Annotated[
    str | None,
    typer.Option(
        help="Run on the Ray cluster at this address (auto or HOST:PORT), not on this machine alone."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (serve,))


def serve(
    location: _From = None,
    model: _Models = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 if not given.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="8000 if not given; 0: a free one.")
    ] = None,
    keys: _Keys = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Processes that sample; one if not given.")
    ] = None,
    state: _State = None,
    config: _Config = None,
    assignments: _Assignments = None,
    preset: _Preset = None,
    address: _Address = None,
) -> None:
    """Answer requests for clips over HTTP, with a page to try it, until Ctrl-C."""
    from orchestration.workflows import serve as workflow
    from orchestration.workspace import Workspace

    values = {
        "source.location": location,
        "source.models": tuple(model) if model else None,
        "http.host": host,
        "http.port": port,
        "http.keys": None if keys is None else str(keys),
        "engine.min_replicas": replicas,
        "engine.max_replicas": replicas,
        "state.folder": None if state is None else str(state),
    }
    options = workflow.ServeOptions(values, tuple(config or ()), tuple(assignments or ()), preset, address)
    workspace = Workspace.current()
    request = workflow.prepare_service(options, workspace)
    stdout = sys.stdout

    def print_url(url: str) -> None:
        with contextlib.redirect_stdout(stdout):
            out().print(f"{url}  the page; {url}/v1/videos  the API; {url}/docs  its description")

    with only_results_on_stdout():
        workflow.serve(request, workspace, print_url, _print_line)


def _print_line(line: str) -> None:
    err().print(f"{datetime.now():%H:%M:%S} {line}", soft_wrap=True)
