"""Counts and times of requests."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestration.serving.api.recorder import Recorder
from orchestration.serving.counters import REQUEST, REQUESTS

# Of a request that is not answered: its client went away, or the connection was closed for a fault.
_UNANSWERED = 0
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"})


class Measure:
    """ASGI middleware: counts answers by route, method and status, and times those that are no streams."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app, self._recorder = app, recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, streams, started = _UNANSWERED, False, time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = int(message["status"])
                streams = any(value.startswith(b"text/event-stream") for _, value in message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            # The route of the router, as /v1/videos/{video_id}: paths of clients would be labels without end.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._recorder.add(REQUESTS.add(route, method, str(status)))
            if not streams:
                self._recorder.add(REQUEST.observe(time.monotonic() - started, route))
