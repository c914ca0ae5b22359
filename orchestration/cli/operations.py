"""Verbs about the machine: demo, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import AsJson, err, given, local_path, out, print_json, refuse
from orchestration.cli.verb import add_verbs

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


def doctor(as_json: AsJson = False) -> None:
    """Report what this machine has and what is missing; exit code 1 if work is impossible."""
    from orchestration.workflows.doctor import examine
    from orchestration.workspace import Workspace

    checks = examine(Workspace.current())
    broken = [check.name for check in checks if check.needed and not check.ok]
    if as_json:
        print_json({"ok": not broken, "checks": checks})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "ok" if check.ok else ("MISSING" if check.needed else "none")
            out().print(f"{check.name:<{width}}  {mark:<7}  {check.found}")
    if broken:
        raise AnimaticError(f"not fit for work: {', '.join(broken)}")
