"""Server-sent events: the states of a video, as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import sha256

from fastapi.sse import ServerSentEvent

from orchestration.serving.api.answers import video_of
from orchestration.serving.api.watcher import ENDED, Watcher
from orchestration.serving.jobs import Job

EVENT = "video"
# Milliseconds until a browser connects again.
_RETRY_MS = 2000


def event_id(job: Job) -> str:
    """Identifies a state of a video: equal states have equal ids, on every replica."""
    return sha256(video_of(job).model_dump_json().encode()).hexdigest()[:16]


def nothing_new(job: Job, last_event_id: str | None) -> bool:
    """Whether a client that had this event has seen the end, so that it need not connect again."""
    return job.state in ENDED and last_event_id == event_id(job)


async def events(watcher: Watcher, job: Job, last_event_id: str | None) -> AsyncIterator[ServerSentEvent]:
    """An event now, unless the client has it, and after every change; the last one is of the end.

    An event has the whole video, so that a client that missed some has lost nothing.
    """
    async with aclosing(watcher.watch(job)) as states:
        async for state in states:
            number = event_id(state)
            if number != last_event_id:
                yield ServerSentEvent(data=video_of(state), event=EVENT, id=number, retry=_RETRY_MS)
            last_event_id = None
