"""Routes of videos: accept, read, list, cancel or remove."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from orchestration.serving.api.answers import VIDEOS, video_of
from orchestration.serving.api.documented import errors, submission_body, submission_errors
from orchestration.serving.api.service import Asking, Service, Serving
from orchestration.serving.api.submission import submit
from orchestration.serving.api.watcher import ENDED
from orchestration.serving.schema import ApiError, Video, VideoDeleted, VideoList, VideoStatus

router = APIRouter(prefix=VIDEOS, tags=["videos"])

VideoId = Annotated[str, Path(max_length=100, description="id of the video")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="the same key with the same request makes one video, also when it is sent again",
    ),
]


@router.post(
    "",
    status_code=202,
    operation_id="create_video",
    summary="Accept a video",
    response_description="The video, queued; with Idempotent-Replayed if it was accepted before.",
    responses=submission_errors(),
    openapi_extra=submission_body(),
)
async def create(
    request: Request,
    response: Response,
    service: Serving,
    caller: Asking,
    idempotency_key: IdempotencyKey = None,
) -> Video:
    """Accept a video: a picture, a sentence, and how to sample. It waits in the queue under
    the answered id."""
    submission = await submit(service, caller, request, idempotency_key)
    response.headers["Location"] = f"{VIDEOS}/{submission.job.id}"
    if not submission.created:
        response.headers["Idempotent-Replayed"] = "true"
    return video_of(submission.job)


@router.get(
    "",
    operation_id="list_videos",
    summary="List videos",
    response_description="Videos.",
    responses=errors("invalid_request"),
)
def listing(
    service: Serving,
    caller: Asking,
    limit: Annotated[int, Query(ge=1, le=100, description="videos in this part")] = 20,
    after: Annotated[str | None, Query(max_length=100, description="last_id of the part before")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="by acceptance")] = "desc",
    status: Annotated[VideoStatus | None, Query(description="only these")] = None,
) -> VideoList:
    """The videos of this key; of all keys for an admin key."""
    owner = None if caller.admin else caller.name
    jobs = service.store.listed(owner, limit=limit + 1, after=after, order=order, state=status)
    videos = [video_of(job) for job in jobs[:limit]]
    return VideoList(
        data=videos,
        first_id=videos[0].id if videos else None,
        last_id=videos[-1].id if videos else None,
        has_more=len(jobs) > limit,
    )


@router.get(
    "/{video_id}",
    operation_id="get_video",
    summary="Read a video",
    response_description="The video.",
    responses=errors("not_found"),
)
def one(service: Serving, caller: Asking, video_id: VideoId) -> Video:
    """The state of a video."""
    return video_of(service.job(video_id, caller))


@router.delete(
    "/{video_id}",
    operation_id="delete_video",
    summary="Cancel or remove a video",
    response_description="The video, ended; or that it was removed.",
    responses=errors("not_found", "still_running"),
)
async def remove(service: Serving, caller: Asking, video_id: VideoId) -> Video | VideoDeleted:
    """Cancel a video that has not ended, at the next denoising step: the answer comes when no device works on
    it any more. Remove a video that has ended, with its content."""
    job = await run_in_threadpool(service.job, video_id, caller)
    if job.state in ENDED:
        await run_in_threadpool(_remove, service, job.id)
        return VideoDeleted(id=job.id)
    cancelled = await run_in_threadpool(service.store.request_cancel, job.id)
    if cancelled is None:  # removed by another request meanwhile
        return VideoDeleted(id=job.id)
    try:
        async with asyncio.timeout(service.settings.limits.sync_seconds):
            ended = await service.watcher.ended(cancelled)
    except TimeoutError as error:
        message = "the device works on the video still; it ends as soon as the device answers"
        raise ApiError("still_running", message, video=job.id) from error
    if ended is None:
        return VideoDeleted(id=job.id)
    return video_of(ended)


def _remove(service: Service, job_id: str) -> None:
    removed = service.store.delete(job_id)
    if removed is not None:
        service.results.remove_job(removed)
