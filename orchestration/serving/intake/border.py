"""The ASGI middleware that bounds bodies, and what happens to those that are not received whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestration.serving.intake.bodies import check_headers, chunks
from orchestration.serving.schema import ApiError

# Of requests other than those for videos, which are small JSON objects.
MOST_SMALL_BYTES = 64 * 1024
# How much of the rest of a refused body is received and dropped, and for how long, so that its client reads
# the answer: closing a connection at once, with bytes unread, resets it, and the answer is lost. Both are
# small, since a proxy between may take whatever its client sends meanwhile, and store it: Ray Serve's does.
LINGER_SECONDS, LINGER_BYTES = 2.0, 16 * 2**20


class BodyBorder:
    """Bounds the bodies of every route, and ends the connection of a client whose body was not received:
    the server would read the rest of it otherwise, for as long as the client sends.

    The bodies of videos are only watched, since ``read_submission`` receives them. Others are received here,
    before the app is called, up to ``MOST_SMALL_BYTES``.

    Args:
        is_submission: whether the app receives the body of a request by ``read_submission``.
        seconds: in which another body must arrive.
        answer: the response to an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_submission: Callable[[Scope], bool],
        seconds: float,
        answer: Callable[[ApiError], ASGIApp],
    ) -> None:
        self._app, self._is_submission, self._seconds, self._answer = app, is_submission, seconds, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        if headers is None or not _has_body(headers):
            await self._app(scope, receive, send)
            return
        body = _Body(receive, send, waits="expect" in headers)
        if self._is_submission(scope):
            await self._app(scope, body.receive, body.send)
            return
        try:
            check_headers(headers, MOST_SMALL_BYTES)
            content = b"".join([part async for part in chunks(body.receive, MOST_SMALL_BYTES, self._seconds)])
        except ClientDisconnect:
            return
        except ApiError as error:
            await self._answer(error)(scope, body.receive, body.send)
            return
        await self._app(scope, _replayed(content, receive), send)


class _Body:
    """Watches whether a body is received whole before its request is answered."""

    def __init__(self, receive: Receive, send: Send, waits: bool) -> None:
        self._receive, self._send = receive, send
        # A client that sends its body when it is asked to, by the first receive.
        self._waits, self._ended = waits, False

    async def receive(self) -> Message:
        self._waits = False
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self._ended:
            await self._send(message)
        elif message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._drop_rest()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drop_rest(self) -> None:
        if self._waits:
            return
        dropped = 0
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._ended and dropped < LINGER_BYTES:
                    dropped += len((await self.receive()).get("body", b""))
        except TimeoutError:  # it sends still: the connection is closed
            pass


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0").strip() != "0" or "transfer-encoding" in headers
