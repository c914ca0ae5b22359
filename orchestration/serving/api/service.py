"""What the routes of one process share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from orchestration.serving.api.interface import Access, Caller, ReadSubmission
from orchestration.serving.api.recorder import Recorder
from orchestration.serving.api.watcher import Watcher
from orchestration.serving.jobs import Job, JobStore
from orchestration.serving.results import Results
from orchestration.serving.schema import ApiError
from orchestration.serving.settings import ServingSettings


@dataclass(frozen=True)
class Service:
    """The stores, the keys and the settings; and this process's watcher and counters."""

    store: JobStore
    results: Results
    access: Access
    read_submission: ReadSubmission
    settings: ServingSettings
    watcher: Watcher
    recorder: Recorder

    def job(self, job_id: str, caller: Caller) -> Job:
        """A job that the caller may see. Raises ApiError ``not_found``, also for a job of another owner."""
        job = self.store.get(job_id, None if caller.admin else caller.name)
        if job is None:
            raise ApiError("not_found", f"no video {job_id[:100]!r}: it was removed, or never existed")
        return job


def service_of(request: Request) -> Service:
    """The service of the app that answers."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


def caller_of(request: Request, service: Serving) -> Caller:
    """Who asks. Raises ApiError ``missing_key`` or ``invalid_key``."""
    return service.access.authenticate(request.headers)


def admin_of(request: Request, service: Serving) -> Caller:
    """An administrator who asks. Raises ApiError ``forbidden`` for another key."""
    caller = service.access.authenticate(request.headers)
    if not caller.admin:
        create = "`animatic api-key create NAME --keys FILE --admin` creates one"
        without = "" if service.access.required else ", and the service then needs http.keys=FILE"
        raise ApiError("forbidden", f"this needs an admin key: {create}{without}")
    return caller


Asking = Annotated[Caller, Depends(caller_of)]
Administrator = Annotated[Caller, Depends(admin_of)]
