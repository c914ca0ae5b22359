"""Verbs about the machine: demo, doctor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from core.urls import is_web
from orchestration.cli.common import (
    AsJson,
    err,
    given,
    local_path,
    local_source,
    only_results_on_stdout,
    out,
    print_result,
    print_table,
    refuse,
)
from orchestration.cli.submission import Cluster, Environment, Packages, submitted
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer
    from orchestration.workflows.doctor import Check, ClusterReport
    from orchestration.workflows.doctor.run import RunReport
    from orchestration.workspace import Workspace

PANEL = "This machine"


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    add_verbs(app, PANEL, (demo, doctor))


_DemoFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=local_path,
        metavar="PATH",
        help="Where everything is written; runs/demo if not given.",
    ),
]
_OwnImage = Annotated[
    Path | None,
    typer.Option(
        parser=local_source,
        metavar="FILE",
        help="PNG, JPEG or WebP: this picture is animated at the end too, and displayed first.",
    ),
]
_OwnPrompt = Annotated[
    str | None, typer.Option("--prompt", metavar="TEXT", help="With --image: what should happen in it.")
]
_Prior = Annotated[
    bool,
    typer.Option(
        "--prior", help="Train the prior that is included in models/prior instead: codec and stage 0."
    ),
]
_PriorSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="With --prior: change a setting; repeatable."),
]


def demo(
    context: typer.Context,
    folder: _DemoFolder = None,
    image: _OwnImage = None,
    sentence: _OwnPrompt = None,
    prior: _Prior = False,
    assignments: _PriorSettings = None,
) -> None:
    """The main job at small size: footage, ingest, three stages, promotion, animation, report."""
    from orchestration.workspace import Workspace

    if prior:
        for option in ("folder", "image", "sentence"):
            refuse(given(context, option), "with --prior, which writes models/prior")
        from orchestration.demo.prior.making import make_prior

        make_prior(Workspace.current(), err(), assignments or ())
        return
    refuse(
        given(context, "assignments"),
        "without --prior: the demo's recipe is fixed, `animatic train` takes any",
    )
    from orchestration.demo.own_pictures import open_given

    picture = open_given(image, sentence)
    # Torch and Ray take seconds to import.
    with err().status("starting"):
        import psutil  # type: ignore[import-untyped]

        from orchestration.demo import steps

    steps.run(
        folder or Workspace.current().root / "demo",
        err(),
        out(),
        picture=picture,
        began=psutil.Process().create_time(),
    )


_ExaminedRun = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RUN]",
        parser=local_source,
        help="Examine this run, given by its folder: which process does what, and which one all others "
        "wait for.",
    ),
]
_ExaminedCluster = Annotated[
    str | None,
    typer.Option(
        help="Examine every node of this Ray cluster: HOST:PORT or auto on one of its machines; "
        "http://HEAD:8265 does it as a job of the cluster."
    ),
]
_ExaminedData = Annotated[
    str | None,
    typer.Option(help="With a cluster: a dataset, folder or file that every node should be able to read."),
]


def doctor(
    context: typer.Context,
    run: _ExaminedRun = None,
    address: _ExaminedCluster = None,
    data: _ExaminedData = None,
    environment: Environment = Packages.AUTO,
    as_json: AsJson = False,
) -> None:
    """Report what this machine, or a cluster, has and what is missing, or what the processes of a run do.

    The exit code is 1 if work is impossible, or something is wrong with the run."""
    if run is not None:
        for option in ("address", "data", "environment"):
            refuse(given(context, option), "with a run, whose folder alone is read")
        _examine_run(run, as_json)
        return
    if address is not None and not is_web(address):
        refuse(given(context, "environment"), "with an address that is not http://HEAD:8265")
    cluster = Cluster(address if is_web(address or "") else None, environment, as_json)
    if submitted(context, cluster, partial(_doctor_job, data)):
        return
    from orchestration.workspace import Workspace

    if address or os.environ.get("RAY_ADDRESS", "local") not in ("", "local"):
        _examine_cluster(Workspace.current(), address, data, as_json)
        return
    refuse(given(context, "data"), "without --address or RAY_ADDRESS")
    from orchestration.workflows.doctor import examine

    checks = examine(Workspace.current())
    result = {"ok": not _broken(checks), "checks": checks}
    print_result(result, partial(_print_checks, checks, "MISSING", "none"), as_json)
    _raise_broken(checks)


def _examine_run(run: Path, as_json: bool) -> None:
    from orchestration.workflows.doctor.run import examine_run

    report = examine_run(run)
    print_result(report, partial(_print_run, report), as_json)
    if not report.ok:
        raise typer.Exit(1)


def _print_run(report: RunReport) -> None:
    print_table(*report.table)
    out().print()
    for hang in report.hangs:
        out().print(f"restarted after a {hang}")
    out().print(report.cause or "nothing is wrong")
    for each in report.processes:
        if each.rank in report.culprits:
            for frame in each.frames:
                out().print(f"  {frame}")
            break
    for path in report.flight_records:
        out().print(f"collective operations: {path}")
    if report.advice is not None:
        out().print(report.advice)


def _doctor_job(data: str | None, _: JobServer) -> JobRequest:
    from orchestration.workflows.job_requests import doctor_job
    from orchestration.workspace import Workspace

    return doctor_job(data, Workspace.current())


def _examine_cluster(workspace: Workspace, address: str | None, data: str | None, as_json: bool) -> None:
    from orchestration.workflows.doctor import examine_cluster

    with only_results_on_stdout():
        report = examine_cluster(workspace, address, data)
    result = {"ok": not _broken(report.checks), "checks": report.checks, "nodes": report.nodes}
    print_result(result, partial(_print_cluster, report), as_json)
    _raise_broken(report.checks)


def _print_cluster(report: ClusterReport) -> None:
    print_table(*report.table)
    out().print()
    _print_checks(report.checks, "FAILED", "warning")


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
