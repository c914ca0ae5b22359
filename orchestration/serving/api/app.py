"""The app: routes, errors, counters and what runs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response

from core.code_version import code_version
from orchestration.serving.api import admin, clips, health, models, videos
from orchestration.serving.api.description import correct_description
from orchestration.serving.api.errors import FaultBorder, answering, install_errors
from orchestration.serving.api.housekeeping import Housekeeping, Task
from orchestration.serving.api.interface import Access, ReadSubmission
from orchestration.serving.api.measure import Measure
from orchestration.serving.api.origins import SameOrigin
from orchestration.serving.api.pages import add_pages
from orchestration.serving.api.recorder import Recorder
from orchestration.serving.api.service import Service
from orchestration.serving.api.submission import is_submission
from orchestration.serving.api.watcher import Watcher
from orchestration.serving.intake import BodyBorder
from orchestration.serving.jobs import JobStore
from orchestration.serving.results import Results
from orchestration.serving.settings import ServingSettings

# Seconds between two looks at watched videos, two rounds of housekeeping, and two listings of all objects.
_WATCH_S, _OFTEN_S, _SELDOM_S = 0.2, 2.0, 600.0
_DESCRIPTION = (
    "Clips that continue a picture, in the open /v1/videos convention: accept a video, follow it, "
    "fetch its clip."
)


def build_app(
    store: JobStore,
    results: Results,
    settings: ServingSettings,
    access: Access,
    read_submission: ReadSubmission,
) -> FastAPI:
    """The service as an ASGI app. It is stateless: everything that must survive is in the stores.

    Its lifespan runs the housekeeping of the stores, and stops with a last flush of the counters. The stores
    are the caller's to close.
    """
    recorder = Recorder(store)
    service = Service(store, results, access, read_submission, settings, Watcher(store, _WATCH_S), recorder)
    tasks = _housekeeping_tasks(store, results)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        housekeeping = Housekeeping(tasks, recorder)
        housekeeping.start()
        try:
            yield
        finally:
            housekeeping.stop()

    app = FastAPI(
        title="animatic",
        description=_DESCRIPTION,
        version=code_version(),
        docs_url=None,  # FastAPI's own pages load their scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    _add_borders(app, service)
    app.add_exception_handler(clips.NothingNewError, _no_content)
    for module in (videos, clips, models, admin, health):
        app.include_router(module.router)
    add_pages(app)
    correct_description(app)
    return app


def _add_borders(app: FastAPI, service: Service) -> None:
    """What every request passes; the last added is the outermost."""
    settings, recorder = service.settings, service.recorder
    app.add_middleware(SameOrigin, rejected=recorder.rejected, hosts=_hosts(settings, service.access))
    app.add_middleware(
        BodyBorder,
        is_submission=is_submission,
        seconds=settings.limits.body_seconds,
        answer=answering(recorder.rejected),
    )
    app.add_middleware(FaultBorder, rejected=recorder.rejected)
    app.add_middleware(Measure, recorder=recorder)
    install_errors(app, recorder.rejected)


def _hosts(settings: ServingSettings, access: Access) -> frozenset[str] | None:
    """The names that a service without keys may be called by; None: any."""
    if access.required:
        return None
    own = {"localhost", "127.0.0.1", "::1", settings.http.host}
    public = settings.http.public_url
    return frozenset(own | ({urlsplit(public).hostname or ""} if public else set()))


def _housekeeping_tasks(store: JobStore, results: Results) -> tuple[Task, ...]:
    return (
        Task(store.requeue_abandoned, _OFTEN_S),
        Task(store.fail_unservable, _OFTEN_S),
        Task(partial(results.remove_spent, store), _OFTEN_S),
        Task(partial(results.remove_unknown, store), _SELDOM_S),
    )


def _no_content(request: Request, error: Exception) -> Response:
    return Response(status_code=204)
