"""The job server of a cluster's dashboard, through Ray's client, with timeouts and errors in one line."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from core.deadline import within
from core.errors import AnimaticError, TemporaryError, last_line
from core.urls import without_credentials
from orchestration.launch.jobs.address import checked_version, dashboard_url, only_given_address
from orchestration.launch.jobs.records import Job, RuntimeEnv
from orchestration.launch.jobs.token import token_error, token_headers

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ANSWER_S = 60.0
TRANSFER_S = 600.0  # of a package, or of a whole log
_MOST_NODES = 10_000
# Ids are part of a URL's path, into which Ray's client copies them: these would lead to another one.
_OTHER_PATH = re.compile(r"[/?#%]|^\.+$")


class LostServerError(TemporaryError):
    """The job server does not answer; its jobs may go on."""


class UnknownJobError(AnimaticError):
    """The cluster has no such job."""


class TakenIdError(AnimaticError):
    """The cluster has a job of this id already."""


@dataclass(frozen=True)
class Resources:
    """What the nodes of a cluster have at the moment; one with an autoscaler can grow."""

    nodes: int
    cpus: int
    gpus: int


class JobServer:
    """The job server of the cluster at an address.

    Attributes:
        url: of its dashboard.
        name: that URL without a user name and password, for messages.
        ray_version: of the cluster.
    """

    def __init__(self, address: str, setting: str = "--address") -> None:
        """Find it, and check that it accepts this client.

        Args:
            address: ``http(s)://host:port`` of the dashboard, ``host:port`` of the head, or ``auto``.
            setting: where the address comes from, for messages.

        Raises:
            AnimaticError: there is none, or it refuses the token.
        """
        self.url = dashboard_url(address, setting)
        self.name = without_credentials(self.url)
        checked_version(self.url, setting)
        self._setting = setting
        with self._errors(), only_given_address():
            self._client = _client(self.url, token_headers())
        self.ray_version: str = self._client._server_ray_version
        self.headers: Mapping[str, str] = self._client._headers

    def resources(self) -> Resources:
        """Of the nodes that are alive. Raises AnimaticError."""
        from ray.util.state import StateApiClient
        from ray.util.state.common import ListApiOptions, StateResource
        from ray.util.state.exception import RayStateApiException

        alive = ListApiOptions(limit=_MOST_NODES, timeout=int(ANSWER_S), filters=[("state", "=", "ALIVE")])
        with self._errors(), only_given_address():
            try:
                client = StateApiClient(self.url, headers=dict(self.headers))
                listing = partial(client.list, StateResource.NODES, alive, raise_on_missing_output=False)
                nodes = within(ANSWER_S, listing)
            except RayStateApiException as error:
                raise AnimaticError(
                    f"{self.name} does not list the nodes of its cluster: {last_line(error)}"
                ) from error
        totals = [node.resources_total for node in nodes]
        return Resources(
            len(nodes), *(int(sum(each.get(kind, 0) for each in totals)) for kind in ("CPU", "GPU"))
        )

    def jobs(self) -> list[Job]:
        """Those that were submitted to it, the newest first. Raises AnimaticError."""
        with self._errors():
            found = [Job.of(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started.timestamp() if job.started else 0.0, reverse=True)

    def job(self, job_id: str) -> Job:
        """The job of this id. Raises UnknownJobError, or AnimaticError."""
        with self._errors(job_id):
            return Job.of(self._client.get_job_info(job_id))

    def log(self, job_id: str) -> str:
        """All of its output so far. Raises AnimaticError."""
        with self._errors(job_id):
            return str(self._client.get_job_logs(job_id))

    def submit(
        self,
        job_id: str,
        entrypoint: str,
        package: Path,
        runtime_env: RuntimeEnv,
        metadata: dict[str, str],
    ) -> None:
        """Start a job from a zip of its files, which is sent if the cluster does not have it.

        The command runs on the head and occupies none of its processors.

        Raises:
            TakenIdError: another job has the id.
            AnimaticError: the server cannot be reached, or refuses the job.
        """
        with self._errors(job_id):
            self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=job_id,
                runtime_env={**runtime_env, "working_dir": str(package)},
                metadata=metadata,
            )

    def stop(self, job_id: str) -> bool:
        """Ask the job to end; whether it was running. Raises AnimaticError."""
        with self._errors(job_id):
            return bool(self._client.stop_job(job_id))

    def unauthorised(self, status: int) -> AnimaticError:
        """The error of a request that was answered by HTTP status 401 or 403."""
        return token_error(self.name, status)

    @contextlib.contextmanager
    def _errors(self, job_id: str = "") -> Iterator[None]:
        """Turn errors of Ray's client into AnimaticError of one line."""
        from ray.exceptions import AuthenticationError

        if _OTHER_PATH.search(job_id):
            raise self._unknown(job_id)
        try:
            yield
        except AuthenticationError as error:
            missing = error.message.startswith("Authentication required")
            raise self.unauthorised(401 if missing else 403) from error
        except (requests.exceptions.RequestException, ConnectionError, TimeoutError) as error:
            reason = str(error) if isinstance(error, TimeoutError) else type(error).__name__
            raise LostServerError(
                f"{self.name} ({self._setting}) does not answer any more: {reason}"
            ) from error
        except RuntimeError as error:
            raise self._refusal(str(error), job_id) from error

    def _unknown(self, job_id: str) -> UnknownJobError:
        return UnknownJobError(
            f"the cluster at {self.name} has no job {job_id}: `animatic jobs list` lists those that it has"
        )

    def _refusal(self, text: str, job_id: str) -> AnimaticError:
        if "status code 404" in text:
            return self._unknown(job_id)
        if re.search("status code 50[234]", text):  # of a proxy in front of it, or while it starts
            return LostServerError(f"{self.name} does not answer any more: {last_line(text)}")
        if "already exists" in text and job_id in text:
            return TakenIdError(f"the cluster at {self.name} has a job {job_id} already")
        return AnimaticError(f"{self.name} refuses the request: {last_line(text)}")


def _client(url: str, headers: dict[str, str]) -> JobSubmissionClient:
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)

    class Client(JobSubmissionClient):
        """Ray's own, which waits for ever where a connection is lost."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
            limit_s = TRANSFER_S if method == "PUT" or endpoint.endswith("/logs") else ANSWER_S
            options.setdefault("timeout", limit_s)
            return within(limit_s, partial(super()._do_request, method, endpoint, **options))

    return Client(url, headers=headers)
