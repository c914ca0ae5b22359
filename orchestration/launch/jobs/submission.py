"""Submitting work as a job, or finding the job that does it already."""

from __future__ import annotations

import getpass
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.code_version import VARIABLE as CODE_VERSION
from core.errors import AnimaticError
from core.urls import absolute, has_credentials
from orchestration.job_log import VARIABLE as JOB_ID
from orchestration.launch.jobs.package import LOCK, Code, names
from orchestration.launch.jobs.records import Description, Job, RuntimeEnv
from orchestration.launch.jobs.request import JobRequest, attempt_id, attempt_of
from orchestration.launch.jobs.server import JobServer, TakenIdError
from orchestration.signatures import SIGNERS_VARIABLE

Environment = Literal["image", "lock"]
# Ray kills a job so long after the request to stop, 3 s by default: a run writes a checkpoint in that time.
STOP_WAIT_S = 600
REGISTRY = "ANIMATIC_REGISTRY"
STOP_VARIABLE = "RAY_JOB_STOP_WAIT_TIME_S"
SETUP_S = 3600  # to install the packages of the lock, torch among them
# Never sent: the dashboard displays the environment of a job.
_SECRETS = (
    "ANIMATIC_MLFLOW_URI", "ANIMATIC_SIGNING_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "WANDB_API_KEY",
)  # fmt: skip


@dataclass(frozen=True)
class Submitted:
    """The job that does the work; ``found``: it ran already."""

    id: str
    found: bool


def submit(
    server: JobServer,
    request: JobRequest,
    code: Code,
    environment: Environment,
    report: Callable[[str], None],
) -> Submitted:
    """Start a job that does the work, unless one runs.

    A job of the same work that has ended is followed by another attempt, which resumes what it left.

    Args:
        report: gets a line on what the user should know.

    Raises:
        AnimaticError: the cluster refuses the job, or cannot be reached.
    """
    request.check_secrets()
    if environment == "lock":
        _check_lock(server, code)
    description = _description(request, code, environment)
    job_id, running = _next_id(server, request.work)
    if running is not None:
        return _found(running, description, report)
    with tempfile.TemporaryDirectory(prefix="animatic-") as folder:
        package = Path(folder) / "code.zip"
        code.write_zip(package)
        _report_package(code, package.stat().st_size, server, report)
        if environment == "lock":
            report(f"Ray installs the packages of {LOCK} on each node first, which takes minutes, once")
        runtime_env = _runtime_env(request, code, environment, job_id)
        try:
            server.submit(job_id, request.entrypoint, package, runtime_env, description.metadata())
        except TakenIdError:
            # The same work was submitted elsewhere a moment ago.
            return _found(server.job(job_id), description, report)
    return Submitted(job_id, found=False)


def _description(request: JobRequest, code: Code, environment: Environment) -> Description:
    return Description(
        verb=request.verb,
        subject=request.subject,
        submitted_by=f"{_user()}@{platform.node()}",
        code=code.digest,
        code_version=code.version,
        config_hash=request.config_hash,
        environment=environment,
    )


def _next_id(server: JobServer, work: str) -> tuple[str, Job | None]:
    """The id of the next attempt at the work; and the newest attempt, if it runs."""
    attempts = {attempt_of(work, job.id): job for job in server.jobs()}
    newest = max((number for number in attempts if number is not None), default=0)
    if newest and not attempts[newest].has_ended:
        return attempts[newest].id, attempts[newest]
    return attempt_id(work, newest + 1), None


def _found(job: Job, wanted: Description, report: Callable[[str], None]) -> Submitted:
    by = f", submitted by {job.description.submitted_by}" if job.description else ""
    report(f"job {job.id} does this work already ({job.state.lower()}{by})")
    if job.description and job.description.code != wanted.code:
        report(
            f"it runs other code than yours: {job.description.code_version}, digest "
            f"{job.description.code[:12]}, not {wanted.code[:12]}; to use yours, stop it and submit again"
        )
    return Submitted(job.id, found=True)


def _report_package(code: Code, size: int, server: JobServer, report: Callable[[str], None]) -> None:
    report(
        f"code {code.version}: {len(code.files)} files, {code.size / 1e6:.1f} MB, {size / 1e6:.1f} MB "
        f"packed, digest {code.digest[:12]}"
    )
    if code.version.endswith(".dirty"):
        report("the checkout has changes that are not committed: they are sent as they are on disk")
    if code.left_out:
        report(
            f"not sent, since git does not track their content: {names(code.left_out)}; `git add` what the "
            "job needs"
        )
    unsent = [name for name in _SECRETS if os.environ.get(name)]
    if unsent:
        report(
            f"not sent, since the dashboard would display them: {', '.join(unsent)}; set them on the "
            "cluster's nodes"
        )
    if os.environ.get(SIGNERS_VARIABLE):
        report(
            f"not sent, since it names files of this machine: {SIGNERS_VARIABLE}; the job uses unsigned "
            "bundles unless it is set on the cluster's nodes"
        )
    _report_version(server, report)


def _report_version(server: JobServer, report: Callable[[str], None]) -> None:
    import ray

    if server.ray_version != ray.__version__:
        report(f"the cluster runs Ray {server.ray_version}, this machine {ray.__version__}")


def _check_lock(server: JobServer, code: Code) -> None:
    import ray

    if not code.has_lock:
        raise AnimaticError(
            f"--environment lock installs {LOCK}, which {code.root} lacks: submit from a checkout, or start "
            "the cluster from an image that has the packages"
        )
    if server.ray_version != ray.__version__:
        raise AnimaticError(
            f"--environment lock cannot change the version of Ray in a cluster: it runs "
            f"{server.ray_version}, and {LOCK} has {ray.__version__}; start the cluster with that version"
        )


def _runtime_env(request: JobRequest, code: Code, environment: Environment, job_id: str) -> RuntimeEnv:
    """Ray's description of the environment in which all processes of the job run; without any secret."""
    variables = {
        "ANIMATIC_RUNS": request.runs,
        "ANIMATIC_ACTOR": _user(),
        CODE_VERSION: code.version,
        JOB_ID: job_id,
        STOP_VARIABLE: _stop_wait(),
        **_registry(),
    }
    env: RuntimeEnv = {"env_vars": variables}
    if environment == "lock":
        # By its path within the package: Ray passes the environment to every process as one argument.
        env["uv"] = {"packages": [f"-r ${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{LOCK}"]}
        env["config"] = {"setup_timeout_seconds": SETUP_S}
    return env


def _stop_wait() -> str:
    """Seconds, as Ray reads them when a job is to stop: a mistake would fail there, without a checkpoint."""
    text = os.environ.get(STOP_VARIABLE, str(STOP_WAIT_S))
    if not (text.isascii() and text.isdigit()):
        raise AnimaticError(f"{STOP_VARIABLE}={text} is no number of seconds: as {STOP_WAIT_S}, or unset it")
    return text


def _user() -> str:
    try:
        return os.environ.get("ANIMATIC_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _registry() -> dict[str, str]:
    """Where the ledger is, if it is not in the folder of runs.

    Raises AnimaticError for a URL with a password, which the dashboard would display.
    """
    registry = os.environ.get(REGISTRY)
    if not registry:
        return {}
    if has_credentials(registry):
        raise AnimaticError(
            f"{REGISTRY} contains a credential, which the dashboard would display: leave it out of the URL, "
            "and set it on the cluster's nodes"
        )
    return {REGISTRY: absolute(registry)}
