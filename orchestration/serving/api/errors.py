"""Every error becomes the one envelope: of validation, of routing, of the service, and faults."""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Callable
from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.storage import StoreError
from orchestration.serving.jobs import (
    IdempotencyConflictError,
    JobStoreError,
    QueueFullError,
    RateLimitedError,
    RetryLaterError,
    StorageFullError,
)
from orchestration.serving.schema import ApiError, ApiErrorCode

_LOG = logging.getLogger(__name__)
_HTTP_CODES: dict[int, ApiErrorCode] = {404: "not_found", 405: "method_not_allowed"}
_LIMITS: dict[type[RetryLaterError], ApiErrorCode] = {
    QueueFullError: "queue_full",
    RateLimitedError: "rate_limited",
    StorageFullError: "storage_full",
}
_LONGEST_PATH = 100
# Seconds after which a client may ask again while the database does not answer.
_RETRY_S = 5.0
# Ids of requests that may be logged and answered as they come.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")


def error_response(error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse:
    """The envelope, with Retry-After and WWW-Authenticate where they belong."""
    sent = dict(headers or {})
    if error.retry_after_s is not None:
        sent["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        sent["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.body.model_dump(mode="json"), error.status, sent)


class Answering(Protocol):
    """The response to an error."""

    def __call__(self, error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse: ...


def answering(rejected: Callable[[str], None]) -> Answering:
    """:func:`error_response`, which passes the code of each error to ``rejected``."""

    def answer(error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse:
        rejected(error.code)
        return error_response(error, headers)

    return answer


def install_errors(app: FastAPI, rejected: Callable[[str], None]) -> None:
    """Answer errors with the envelope; ``rejected`` gets the code of each."""
    answer = answering(rejected)

    @app.exception_handler(ApiError)
    def of_api(request: Request, error: ApiError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> JSONResponse:
        code = _HTTP_CODES.get(error.status_code, "invalid_request")
        where = f"{request.method} {request.url.path[:_LONGEST_PATH]}"
        messages = {
            "not_found": f"{where}: no such path; /docs lists all",
            "method_not_allowed": f"{where}: the path has no such method; /docs lists all",
        }
        headers = dict(error.headers or {})
        if code == "method_not_allowed":
            headers["Allow"] = ", ".join(_methods(app, request.url.path))
        return answer(ApiError(code, messages.get(code, str(error.detail))), headers)

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return answer(ApiError("invalid_request", f"{name}: {first['msg']}", param=name))

    @app.exception_handler(RetryLaterError)
    def of_limit(request: Request, error: RetryLaterError) -> JSONResponse:
        return answer(ApiError(_LIMITS[type(error)], str(error), retry_after_s=error.retry_after_s))

    @app.exception_handler(IdempotencyConflictError)
    def of_idempotency(request: Request, error: IdempotencyConflictError) -> JSONResponse:
        return answer(ApiError("idempotency_key_reused", str(error)))

    @app.exception_handler(JobStoreError)
    @app.exception_handler(StoreError)
    def of_store(request: Request, error: JobStoreError | StoreError) -> JSONResponse:
        _LOG.error("%s %s: %s", request.method, request.url.path, error)
        message = "a store of the service does not answer: try again later"
        return answer(ApiError("unavailable", message, retry_after_s=_RETRY_S))


def _methods(app: FastAPI, path: str) -> list[str]:
    """The methods of a path: Starlette knows those of one route only."""
    described = app.openapi()["paths"]
    found = [operations for known, operations in described.items() if compile_path(known)[0].match(path)]
    return sorted({method.upper() for operations in found for method in operations})


class FaultBorder:
    """ASGI middleware: an exception of a route becomes 500 with an id, which the log has with the traceback.

    The id is that of the request's own ``X-Request-Id``: a proxy before this one, as Ray Serve's, adds it to
    the answer too. Every answer has it, may not be sniffed for another type, and is not stored by caches
    unless it states otherwise.
    """

    def __init__(self, app: ASGIApp, rejected: Callable[[str], None]) -> None:
        self._app, self._rejected = app, rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, started = _request_id(scope), False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = number
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:  # the border of a request: the next one must be answered
            _LOG.exception("request %s: %s %s", number, scope["method"], scope["path"])
            self._rejected("internal")
            if started:
                raise  # the server closes the connection, so that the client sees a body that is cut off
            error = ApiError("internal", f"the service failed; its log has the cause under request {number}")
            await error_response(error)(scope, receive, sending)


def _request_id(scope: Scope) -> str:
    """The id that a request came with, or a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
