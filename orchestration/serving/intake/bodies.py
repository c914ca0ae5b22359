"""Bodies of requests: received within a number of bytes and of seconds, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from orchestration.serving.schema import ApiError

# Seconds without a byte, after which a client counts as gone.
STALL_SECONDS = 10.0
_MIB = 2**20


def check_headers(headers: Headers, most: int) -> None:
    """Refuse a body by what its headers state, before any of it is read.

    Raises:
        ApiError: ``body_too_large``, ``unsupported_media_type`` for a compressed one, or ``invalid_request``.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ApiError(
            "unsupported_media_type",
            f"the body has the Content-Encoding {encoding[:40]!r}: send it without compression",
        )
    length = headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise ApiError("invalid_request", f"the Content-Length {length[:40]!r} is not a number")
    if len(length) > 18 or int(length) > most:
        raise _too_large(most)


async def chunks(receive: Receive, most: int, seconds: float) -> AsyncIterator[bytes]:
    """The parts of a body as they arrive; those after an error are not read.

    Args:
        most: bytes of the whole body.
        seconds: in which the whole body must arrive.

    Raises:
        ApiError: ``body_too_large`` or ``body_timeout``.
        ClientDisconnect: the client closed the connection before the end.
    """
    loop = asyncio.get_running_loop()
    end, received, more = loop.time() + seconds, 0, True
    while more:
        stalled = loop.time() + STALL_SECONDS
        try:
            async with asyncio.timeout_at(min(end, stalled)):
                message = await receive()
        except TimeoutError as error:
            problem = (
                f"the body did not arrive within {seconds:g} s"
                if end <= stalled
                else f"nothing of the body arrived for {STALL_SECONDS:g} s"
            )
            raise ApiError("body_timeout", f"{problem}: send it again, or a smaller one") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        received += len(part)
        if received > most:
            raise _too_large(most)
        more = message.get("more_body", False)
        yield part


def _too_large(most: int) -> ApiError:
    limit = f"{most / _MIB:.4g} MiB" if most >= _MIB else f"{most} bytes"
    return ApiError("body_too_large", f"the body has more than {limit}: send a smaller picture")
