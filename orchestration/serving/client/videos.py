"""Videos of a service: asked for, followed, cancelled and fetched."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Literal

import requests
from pydantic import ValidationError

from core.retry import RetryableError
from orchestration.serving.client.connection import ONCE, Connection, ServerError
from orchestration.serving.schema import ModelList, Video, VideoRequest

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
_VIDEOS = "/v1/videos"
# Between two looks at a video, in seconds.
_SOONEST_S, _LATEST_S = 0.2, 2.0
# The device has this long to end the step that it is in.
_CANCEL_S = 60.0
_JSON = {"Accept": "application/json"}


class VideoClient:
    """The API of a service. Every method raises ServerError where it refuses or does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def models(self) -> ModelList:
        """The models and limits. Asks once: this is the first question, and the URL may be wrong."""
        answer = self._connection.ask("GET", "/v1/models", policy=ONCE, headers=_JSON)
        try:
            return ModelList.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._foreign("models") from error

    def submit(self, request: VideoRequest, pictures: Mapping[str, bytes]) -> Video:
        """Ask for a video with the pictures by field. A request that is repeated makes no second one."""
        fields = {name: _text(value) for name, value in request.model_dump(exclude_unset=True).items()}
        answer = self._connection.ask(
            "POST",
            _VIDEOS,
            fields=fields,
            files={field: ("picture", content) for field, content in pictures.items()},
            headers={"Idempotency-Key": uuid.uuid4().hex, **_JSON},
        )
        return self._video(answer)

    def follow(self, video: Video, on_state: Callable[[Video], None]) -> Video:
        """The video, once it has ended; ``on_state`` gets every state on the way."""
        while True:
            on_state(video)
            if video.status in ENDED:
                return video
            time.sleep(_pause(video))
            video = self._video(self._connection.ask("GET", f"{_VIDEOS}/{video.id}", headers=_JSON))

    def cancel(self, video_id: str) -> None:
        """Cancel a video; returns when no device works on it any more. Asks once."""
        self._connection.ask(
            "DELETE", f"{_VIDEOS}/{video_id}", policy=ONCE, answer_s=_CANCEL_S, headers=_JSON
        )

    def fetch(self, video: Video, kind: Literal["mp4", "gif"]) -> bytes:
        """The clip of a completed video, whose bytes have the digest that the service states."""
        content = video.content
        file = content.gif if content is not None and kind == "gif" else content
        if file is None:
            raise ServerError(f"{self._connection.name}: {video.id} has no {kind}")

        def check(response: requests.Response) -> None:
            digest = hashlib.sha256(response.content).hexdigest()
            if digest != file.sha256 or response.headers.get("ETag", "").strip('"') != digest:
                raise RetryableError(f"{self._connection.name}: the {kind} of {video.id} arrived damaged")

        path = f"{_VIDEOS}/{video.id}/content?format={kind}"
        return self._connection.ask("GET", path, check=check).content

    def _video(self, answer: requests.Response) -> Video:
        try:
            return Video.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._foreign("a video") from error

    def _foreign(self, expected: str) -> ServerError:
        return ServerError(
            f"{self._connection.name} answers something else than {expected}: it is no animatic service, or "
            "one of another version"
        )


def _text(value: object) -> str:
    """A value as forms have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pause(video: Video) -> float:
    """Seconds until the next look: sooner for a video that ends soon."""
    left = video.remaining_seconds if video.status == "in_progress" else 1.0 * (video.queue_position or 1)
    return min(_LATEST_S, max(_SOONEST_S, (left or 0.0) / 4))
