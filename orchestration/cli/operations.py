"""Verbs about the machine: demo, doctor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import (
    AsJson,
    err,
    given,
    local_path,
    only_results_on_stdout,
    out,
    print_json,
    print_table,
    refuse,
)
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.workflows.doctor import Check
    from orchestration.workspace import Workspace

PANEL = "This machine"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (demo, doctor))


def demo(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            parser=local_path,
            metavar="PATH",
            help="Where everything is written; runs/demo if not given.",
        ),
    ] = None,
    prior: Annotated[
        bool,
        typer.Option(
            "--prior", help="Train the prior that is included in models/prior instead: stage 0, half an hour."
        ),
    ] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="With --prior: change a setting; repeatable."
        ),
    ] = None,
) -> None:
    """The main job at small size: footage, ingest, three stages, promotion, animation, report."""
    from orchestration.workspace import Workspace

    if prior:
        refuse(given(context, "folder"), "with --prior, which writes models/prior")
        from orchestration.demo.prior import make_prior

        make_prior(Workspace.current(), err(), assignments or ())
        return
    refuse(
        given(context, "assignments"),
        "without --prior: the demo's recipe is fixed, `animatic train` takes any",
    )
    from orchestration.demo import steps

    steps.run(folder or Workspace.current().root / "demo", err(), out())


def doctor(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(help="Examine every node of this Ray cluster; RAY_ADDRESS if that is set."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With a cluster: a dataset, folder or file that every node should be able to read."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report what this machine, or a cluster, has and what is missing; exit code 1 if work is impossible."""
    from orchestration.workspace import Workspace

    workspace = Workspace.current()
    if address or os.environ.get("RAY_ADDRESS"):
        _cluster_doctor(workspace, address, data, as_json)
        return
    refuse(given(context, "data"), "without --address or RAY_ADDRESS")
    from orchestration.workflows.doctor import examine

    checks = examine(workspace)
    if as_json:
        print_json({"ok": not _broken(checks), "checks": checks})
    else:
        _print_checks(checks, "MISSING", "none")
    _raise_broken(checks)


def _cluster_doctor(workspace: Workspace, address: str | None, data: str | None, as_json: bool) -> None:
    from orchestration.workflows.doctor import examine_cluster

    with only_results_on_stdout():
        report = examine_cluster(workspace, address, data)
    if as_json:
        print_json({"ok": not _broken(report.checks), "checks": report.checks, "nodes": report.nodes})
    else:
        print_table(*report.table)
        out().print()
        _print_checks(report.checks, "FAILED", "warning")
    _raise_broken(report.checks)


def _print_checks(checks: Sequence[Check], failed: str, informative: str) -> None:
    width, marks = max(len(check.name) for check in checks), max(len(failed), len(informative))
    for check in checks:
        mark = "ok" if check.ok else (failed if check.needed else informative)
        out().print(f"{check.name:<{width}}  {mark:<{marks}}  {check.found}")


def _broken(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks if check.needed and not check.ok]


def _raise_broken(checks: Sequence[Check]) -> None:
    if broken := _broken(checks):
        raise AnimaticError(f"not fit for work: {', '.join(broken)}")
