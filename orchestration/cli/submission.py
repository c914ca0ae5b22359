"""What ``--address`` does: the verb's work as a job of a cluster, followed to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from core.errors import AnimaticError
from core.signals import SignalExit
from core.urls import without_credentials
from orchestration.cli.common import INTERRUPTED, err, given, out, print_json, print_warning, refuse

if TYPE_CHECKING:
    from orchestration.launch.jobs import JobRequest, JobServer, Submitted
    from orchestration.workflows.jobs import Callbacks, FinishedJob


class Packages(StrEnum):
    """Where the Python packages of a job come from."""

    AUTO = "auto"
    IMAGE = "image"
    LOCK = "lock"


Environment = Annotated[
    Packages,
    typer.Option(
        help="With --address: packages of the nodes' image, or of requirements.lock, installed first; auto: "
        "of the lock if the image lacks any."
    ),
]


@dataclass(frozen=True)
class Cluster:
    """Where to do the work of a verb: ``address`` is None on this machine."""

    address: str | None
    packages: Packages
    as_json: bool


def submitted(context: typer.Context, cluster: Cluster, build: Callable[[JobServer], JobRequest]) -> bool:
    """Do the work as a job if an address is given, and print its result; False without one.

    Raises:
        AnimaticError: the work cannot be submitted, or its job never started.
        Exit: the job ended with an error, which its log names, or the user stopped following it.
    """
    if cluster.address is None:
        refuse(given(context, "environment"), "without --address")
        return False
    from orchestration.workflows import jobs

    with _Following(cluster.address) as following:
        server = jobs.connect(cluster.address)
        request = build(server)
        finished = jobs.run_job(server, request, cluster.packages.value, following.callbacks())
    print_finished(finished, cluster.as_json)
    return True


def print_logs(address: str | None, job_id: str, as_json: bool) -> None:
    """Follow a job from the beginning of its log, and print its result. Raises as :func:`submitted`."""
    from orchestration.workflows import jobs

    with _Following(address) as following:
        finished = jobs.follow_job(jobs.connect(address), job_id, following.callbacks())
    print_finished(finished, as_json)


def print_finished(finished: FinishedJob, as_json: bool) -> None:
    """The result of a job that has ended; for one without, the reason.

    Raises:
        AnimaticError: its process never started, or was lost.
        Exit: it ended with an error.
    """
    job, result = finished.job, finished.result("json" if as_json else "text")
    if result is not None and as_json:
        print_json(json.loads(result))
    elif result is not None:
        out().print(result.removesuffix("\n"))
    if finished.exit_code == 0:
        return
    if job.state == "FAILED" and job.exit_code is None:
        raise AnimaticError(f"job {job.id} failed: {' '.join(job.message.split())[:500]}")
    ended = "was stopped" if job.state == "STOPPED" else f"failed with exit code {job.exit_code}"
    err().print(f"job {job.id} {ended}; the same command continues the work", soft_wrap=True)
    raise typer.Exit(finished.exit_code)


class _Following:
    """While entered: signals and a lost server end the following of a job, and not the job."""

    def __init__(self, address: str | None) -> None:
        self._at = "" if address is None else f" --address {without_credentials(address)}"
        self._job: str | None = None

    def callbacks(self) -> Callbacks:
        from orchestration.workflows.jobs import Callbacks

        console = err()
        return Callbacks(
            on_line=partial(console.print, soft_wrap=True),
            on_message=partial(print_warning, console=console),
            on_submitted=self._submitted,
        )

    def __enter__(self) -> _Following:
        return self

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        from orchestration.launch.jobs import LostServerError

        if self._job is None:
            return
        if isinstance(value, KeyboardInterrupt):
            self._detach(INTERRUPTED, value)
        if isinstance(value, SignalExit):
            self._detach(value.exit_code, value)
        if isinstance(value, LostServerError):
            raise AnimaticError(f"{value}; follow it with `{self._call('logs')}`") from value

    def _submitted(self, job: Submitted) -> None:
        self._job = job.id
        err().print(f"following job {job.id}: Ctrl-C ends that, and the job goes on", soft_wrap=True)

    def _detach(self, code: int, cause: BaseException) -> NoReturn:
        err().print(
            f"job {self._job} goes on: `{self._call('logs')}` follows it again, "
            f"`{self._call('stop')}` stops it",
            soft_wrap=True,
        )
        raise typer.Exit(code) from cause

    def _call(self, action: str) -> str:
        return f"animatic jobs {action} {self._job}{self._at}"
