"""Routes that answer with a clip, or with the states on the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from orchestration.serving.api.answers import VIDEOS
from orchestration.serving.api.content import MEDIA_TYPES, ClipResponse, Format, preferred
from orchestration.serving.api.documented import Responses, errors, submission_body, submission_errors
from orchestration.serving.api.events import events, nothing_new
from orchestration.serving.api.service import Asking, Service, Serving
from orchestration.serving.api.submission import submit
from orchestration.serving.api.videos import IdempotencyKey, VideoId
from orchestration.serving.jobs import Job
from orchestration.serving.schema import ApiError

router = APIRouter(prefix=VIDEOS, tags=["videos"])

_CLIP: Responses = {
    200: {
        "description": "The clip; its sha256 is the ETag.",
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES.values()
        },
    }
}
_PARTS: Responses = {
    206: {"description": "The ranges of the header Range."},
    304: {"description": "The header If-None-Match has the ETag."},
}
_NOTHING_NEW: Responses = {204: {"description": "The client has had the last event."}}
_FormatQuery = Annotated[
    Format | None, Query(description="mp4 if neither this nor the header Accept asks for a GIF")
]


@router.post(
    "/sync",
    operation_id="create_video_sync",
    summary="Accept a video and wait for its clip",
    response_class=Response,
    responses=_CLIP | submission_errors("video_failed", "still_running"),
    openapi_extra=submission_body(),
)
async def sync(
    request: Request,
    service: Serving,
    caller: Asking,
    idempotency_key: IdempotencyKey = None,
    format: _FormatQuery = None,
) -> Response:
    """Accept a video and answer with its clip. A client that closes the connection cancels the video,
    unless it gave an Idempotency-Key, with which it can ask again."""
    _check_watches(service)
    job = (await submit(service, caller, request, idempotency_key)).job
    waiting = asyncio.ensure_future(service.watcher.ended(job))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait(
            (waiting, gone), timeout=service.settings.limits.sync_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if waiting.done():
            ended = waiting.result()
            if ended is None:
                raise ApiError("not_found", f"video {job.id} was removed meanwhile", video=job.id)
            return await run_in_threadpool(_ended, service, ended, request, format)
        if gone.done():
            if idempotency_key is None:
                await run_in_threadpool(service.store.request_cancel, job.id)
            return Response(status_code=499)  # nobody reads it
    finally:
        waiting.cancel()
        gone.cancel()
    message = (
        f"the clip is not ready after {service.settings.limits.sync_seconds:g} s: poll {VIDEOS}/{job.id}"
    )
    raise ApiError("still_running", message, video=job.id)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.head("/{video_id}/content", include_in_schema=False)
@router.get(
    "/{video_id}/content",
    operation_id="get_video_content",
    summary="Fetch a clip",
    response_class=Response,
    responses=_CLIP | _PARTS | errors("not_found", "not_ready", "expired", "range_not_satisfiable"),
)
def content(
    request: Request, service: Serving, caller: Asking, video_id: VideoId, format: _FormatQuery = None
) -> Response:
    """The clip of a completed video."""
    return _clip(service, service.job(video_id, caller), request, format)


def _clip(service: Service, job: Job, request: Request, format: Format | None) -> Response:
    kind = preferred(request.headers.get("accept")) if format is None else format
    clip = job.gif if kind == "gif" else job.mp4
    if job.state == "expired":
        raise _expired(job)
    if job.state != "completed" or clip is None or job.made_by is None:
        raise ApiError("not_ready", f"{job.id} is {job.state}: it has no content", video=job.id)
    headers = {
        "X-Video-Id": job.id,
        "X-Video-Seed": str(job.spec.seed),
        "X-Bundle-Id": job.made_by.bundle_id,
        "X-Bundle-Manifest": job.made_by.manifest,
    }
    try:
        path = service.results.local(clip)
    except FileNotFoundError as error:  # it expired since the job was read
        raise _expired(job) from error
    response = ClipResponse(
        path, video_id=job.id, kind=kind, digest=clip.sha256, size=clip.bytes, headers=headers
    )
    return response.not_modified(request.headers) or response


def _ended(service: Service, job: Job, request: Request, format: Format | None) -> Response:
    if job.state == "failed" and job.error is not None:
        raise ApiError("video_failed", f"{job.error.code}: {job.error.message}", video=job.id)
    return _clip(service, job, request, format)


def _expired(job: Job) -> ApiError:
    message = f"the content of {job.id} was removed after its time: create the video again, with its seed"
    return ApiError("expired", message, video=job.id)


# Of a process, which takes about twice as many requests at once: the others are left for short ones.
_MOST_WATCHES, _RETRY_S = 500, 5.0


def _check_watches(service: Service) -> None:
    """Raise ApiError ``unavailable`` where too many clients wait for videos already."""
    if service.watcher.number >= _MOST_WATCHES:
        message = f"{_MOST_WATCHES} clients follow videos already: poll {VIDEOS}/ID, or try again later"
        raise ApiError("unavailable", message, retry_after_s=_RETRY_S)


class NothingNewError(Exception):
    """The client has had the last event: answered with 204, at which browsers stop to connect again."""


def _watched(
    service: Serving,
    caller: Asking,
    video_id: VideoId,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="of the last event received")
    ] = None,
) -> Job:
    job = service.job(video_id, caller)
    if nothing_new(job, last_event_id):
        raise NothingNewError
    _check_watches(service)
    return job


@router.get(
    "/{video_id}/events",
    operation_id="get_video_events",
    summary="Follow a video",
    response_description="Events named `video`.",
    response_class=EventSourceResponse,
    responses=_NOTHING_NEW | errors("not_found"),
)
async def stream(
    service: Serving,
    job: Annotated[Job, Depends(_watched)],
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", include_in_schema=False)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events named `video`: the whole video now, and after every change, until it has ended. The
    stream then closes; comments keep it open while nothing changes."""
    async for event in events(service.watcher, job, last_event_id):
        yield event
