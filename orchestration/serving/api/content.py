"""The clip of a video as an HTTP answer: ranges, conditions and its digest as ETag."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from orchestration.serving.api.errors import error_response
from orchestration.serving.schema import ApiError

Format = Literal["mp4", "gif"]
MEDIA_TYPES: dict[Format, Literal["video/mp4", "image/gif"]] = {"mp4": "video/mp4", "gif": "image/gif"}


class ClipResponse(FileResponse):
    """A stored file of a clip. Bad ranges are answered with the error envelope."""

    def __init__(
        self, path: Path, *, video_id: str, kind: Format, digest: str, size: int, headers: dict[str, str]
    ) -> None:
        self._bytes = size
        super().__init__(
            path,
            media_type=MEDIA_TYPES[kind],
            filename=f"{video_id}.{kind}",  # an id of ours: hexadecimal
            content_disposition_type="inline",
            headers={
                "ETag": f'"{digest}"',
                "Cache-Control": "private, max-age=3600, immutable",
                "Vary": "Accept, Authorization, X-API-Key",
                **headers,
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = 0

        async def sending(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                refused = message["status"]
            if not refused:
                await send(message)

        await super().__call__(scope, receive, sending)
        if refused == 416:
            error = ApiError("range_not_satisfiable", f"the range is outside of the {self._bytes} bytes")
            response = error_response(error, {"Content-Range": f"bytes */{self._bytes}"})
            await response(scope, receive, send)
        elif refused == 400:
            # RFC 9110, section 14.2: a range that is not understood is ignored.
            headers = [header for header in scope["headers"] if header[0] != b"range"]
            await super().__call__({**scope, "headers": headers}, receive, send)

    def not_modified(self, request_headers: Headers) -> Response | None:
        """304 if the client has these bytes: its If-None-Match names them, or anything."""
        given = request_headers.get("if-none-match")
        if given is None:
            return None
        tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
        if self.headers["etag"] not in tags and "*" not in tags:
            return None
        kept = ("etag", "cache-control", "vary")
        return Response(status_code=304, headers={name: self.headers[name] for name in kept})


def preferred(accept: str | None) -> Format:
    """The format that an Accept header prefers; mp4 where it has no preference."""
    if accept is None:
        return "mp4"
    weights = {kind: _weight(accept, media) for kind, media in MEDIA_TYPES.items()}
    return "gif" if weights["gif"] > weights["mp4"] else "mp4"


def _weight(accept: str, media: str) -> float:
    """The quality of a media type in an Accept header: that of the most specific range that has it."""
    found = (0, 0.0)
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranges = (None, "*/*", f"{media.partition('/')[0]}/*", media)
        if name in ranges:
            found = max(found, (ranges.index(name), _quality(parameters)))
    return found[1]


def _quality(parameters: list[str]) -> float:
    value = next((piece.removeprefix("q=") for piece in parameters if piece.startswith("q=")), "1")
    try:
        return float(value)
    except ValueError:
        return 0.0
