"""Work as a job of a Ray cluster: submit it and follow it to its end, list jobs, follow or stop one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.errors import AnimaticError
from orchestration.job_log import LACKS_PACKAGES, Form, LogReader
from orchestration.launch.jobs import (
    Code,
    Environment,
    Job,
    JobRequest,
    JobServer,
    Submitted,
    collect_code,
    follow,
    submit,
    wait_until_ended,
)

ADDRESS_VARIABLE = "RAY_ADDRESS"
Choice = Literal["auto", "image", "lock"]


@dataclass(frozen=True)
class FinishedJob:
    """A job that has ended, and the result that it wrote, by form."""

    job: Job
    log: LogReader

    @property
    def exit_code(self) -> int:
        """For the command that follows the job: that of its process; 143 if it was stopped."""
        if self.job.state == "SUCCEEDED":
            return 0
        if self.job.state == "STOPPED":
            return 143
        return self.job.exit_code or 1

    def result(self, form: Form) -> str | None:
        """What the verb printed in the job; None if it did not get so far."""
        return self.log.result(form)


@dataclass(frozen=True)
class Callbacks:
    """What a caller is informed of.

    Attributes:
        on_line: gets each line of the job's log.
        on_message: gets remarks on its course.
        on_submitted: gets the job, once it is known; from then on it goes on by itself.
    """

    on_line: Callable[[str], None]
    on_message: Callable[[str], None]
    on_submitted: Callable[[Submitted], None]


def connect(address: str | None) -> JobServer:
    """The job server of a cluster: at ``address``, or in RAY_ADDRESS.

    Raises:
        AnimaticError: none is named, none answers, or it refuses the token.
    """
    if address is not None:
        return JobServer(address)
    named = os.environ.get(ADDRESS_VARIABLE)
    if not named:
        raise AnimaticError(
            f"no cluster is named: give the URL of its dashboard, as --address http://HEAD:8265, or set "
            f"{ADDRESS_VARIABLE}"
        )
    return JobServer(named, ADDRESS_VARIABLE)


def run_job(server: JobServer, request: JobRequest, choice: Choice, callbacks: Callbacks) -> FinishedJob:
    """Submit the work, or find the job that does it, and follow that to its end.

    Args:
        choice: where the job's packages come from: the ``image`` of the nodes, or the ``lock`` of this code,
            which is installed first; ``auto``: the image, and the lock where a job of the cluster has found
            that lacking.

    Raises:
        AnimaticError: the cluster refuses the job or does not answer any more.
    """
    code = collect_code()
    fallback = choice == "auto" and code.has_lock
    lacking = fallback and any(job.exit_code == LACKS_PACKAGES for job in server.jobs())
    environment: Environment = "lock" if choice == "lock" or lacking else "image"
    finished = _run(server, request, code, environment, callbacks)
    if fallback and environment == "image" and finished.job.exit_code == LACKS_PACKAGES:
        callbacks.on_message("submitting again with the packages of requirements.lock (--environment lock)")
        finished = _run(server, request, code, "lock", callbacks)
    return finished


def follow_job(server: JobServer, job_id: str, callbacks: Callbacks) -> FinishedJob:
    """Follow a job from the beginning of its log to its end. Raises AnimaticError if there is no such job."""
    server.job(job_id)
    callbacks.on_submitted(Submitted(job_id, found=True))
    return _follow(server, job_id, callbacks)


def list_jobs(server: JobServer) -> list[Job]:
    """The jobs of the cluster, the newest first. Raises AnimaticError."""
    return server.jobs()


def stop_job(server: JobServer, job_id: str, on_message: Callable[[str], None]) -> Job:
    """Ask a job to stop, by SIGTERM, and wait until it has.

    Raises:
        AnimaticError: there is no such job, or the server does not answer any more.
    """
    job = server.job(job_id)
    if not job.has_ended:
        server.stop(job_id)
        on_message(
            f"job {job_id} is asked to stop: a run writes a checkpoint first; Ctrl-C leaves it to that"
        )
    return wait_until_ended(server, job_id, on_message)


def _run(
    server: JobServer, request: JobRequest, code: Code, environment: Environment, callbacks: Callbacks
) -> FinishedJob:
    submitted = submit(server, request, code, environment, callbacks.on_message)
    callbacks.on_submitted(submitted)
    return _follow(server, submitted.id, callbacks)


def _follow(server: JobServer, job_id: str, callbacks: Callbacks) -> FinishedJob:
    log = LogReader(job_id, callbacks.on_line)
    return FinishedJob(follow(server, job_id, log, callbacks.on_message), log)
