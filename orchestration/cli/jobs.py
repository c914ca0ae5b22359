"""The verb around jobs of a cluster: jobs list, logs, stop."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import AnimaticError
from orchestration.cli.common import AsJson, err, out, print_json, print_table, print_warning
from orchestration.cli.submission import print_logs
from orchestration.cli.verb import add_verbs

if TYPE_CHECKING:
    from orchestration.launch.jobs import Job

PANEL = "Clusters"


class Action(StrEnum):
    """What to do with the jobs of a cluster."""

    LIST = "list"
    LOGS = "logs"
    STOP = "stop"


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    add_verbs(app, PANEL, (jobs,))


def jobs(
    action: Annotated[
        Action, typer.Argument(help="list them; follow the logs of one; stop one.")
    ] = Action.LIST,
    job: Annotated[str | None, typer.Argument(help="For logs and stop: its id.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of the cluster, as http://HEAD:8265; RAY_ADDRESS if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Jobs of a Ray cluster: list them, follow one to its result, or stop one with a checkpoint."""
    if action is Action.LIST:
        if job is not None:
            raise AnimaticError(f"{job} is without effect with list, which lists all jobs")
        _list(address, as_json)
        return
    if job is None:
        raise AnimaticError(
            f"name the job, as in `animatic jobs {action} ID`; `animatic jobs list` lists them"
        )
    if action is Action.LOGS:
        print_logs(address, job, as_json)
    else:
        _stop(address, job, as_json)


def _list(address: str | None, as_json: bool) -> None:
    from orchestration.workflows.jobs import connect, list_jobs

    found, now = list_jobs(connect(address)), datetime.now(UTC)
    if as_json:
        print_json({"jobs": [_fields(job, now) for job in found]})
        return
    columns = ("job", "verb", "work", "state", "started (UTC)", "duration", "by")
    print_table(columns, [_row(job, now) for job in found])


def _stop(address: str | None, job_id: str, as_json: bool) -> None:
    from orchestration.workflows.jobs import connect, stop_job

    def report(message: str) -> None:
        print_warning(message, err())

    job = stop_job(connect(address), job_id, report)
    if as_json:
        print_json(_fields(job, datetime.now(UTC)))
    else:
        out().print(f"job {job.id} has ended: {job.state.lower()}")


def _row(job: Job, now: datetime) -> tuple[object, ...]:
    about = job.description
    started = f"{job.started:%Y-%m-%d %H:%M}" if job.started else None
    return (
        job.id,
        about.verb if about else None,
        about.subject if about else job.entrypoint[:40],
        job.state.lower(),
        started,
        _duration(job.seconds(now)),
        about.submitted_by if about else None,
    )


def _fields(job: Job, now: datetime) -> dict[str, object]:
    about = job.description
    return {
        "job": job.id,
        "state": job.state.lower(),
        "started": job.started.isoformat() if job.started else None,
        "seconds": job.seconds(now),
        "exit_code": job.exit_code,
        "entrypoint": job.entrypoint,
        "verb": about.verb if about else None,
        "subject": about.subject if about else None,
        "submitted_by": about.submitted_by if about else None,
        "code": about.code if about else None,
        "code_version": about.code_version if about else None,
        "config_hash": about.config_hash if about else None,
        "environment": about.environment if about else None,
    }


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
