"""Parts of the API's description that several routes share."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from orchestration.serving.schema import API_CODES, ApiError, ApiErrorCode, ErrorBody, VideoForm, VideoJson

Responses = dict[int | str, dict[str, Any]]
_BODY: tuple[ApiErrorCode, ...] = (
    "invalid_request",
    "unknown_parameter",
    "invalid_image",
    "url_not_allowed",
    "model_not_found",
    "body_timeout",
    "body_too_large",
    "image_too_large",
    "unsupported_media_type",
    "idempotency_key_reused",
    "queue_full",
    "rate_limited",
    "too_many_uploads",
    "unavailable",
    "storage_full",
)
_ALWAYS: tuple[ApiErrorCode, ...] = ("internal", "unavailable")
_KEYS: tuple[ApiErrorCode, ...] = ("missing_key", "invalid_key")


def errors(*codes: ApiErrorCode, keys: bool = True) -> Responses:
    """The answers with an error that a route has, by status, with an example of each code."""
    by_status: defaultdict[int, list[ApiErrorCode]] = defaultdict(list)
    for code in dict.fromkeys((*codes, *(_KEYS if keys else ()), *_ALWAYS)):
        by_status[API_CODES[code].status].append(code)
    return {
        status: {
            "description": " ".join(f"`{code}`: {API_CODES[code].meaning}" for code in found),
            "content": {
                "application/json": {
                    "schema": _reference(ErrorBody.__name__),
                    "examples": {code: _example(code) for code in found},
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def submission_errors(*more: ApiErrorCode) -> Responses:
    """The answers with an error of a route that takes a request for a video."""
    return errors(*_BODY, *more)


def submission_body() -> dict[str, Any]:
    """The body of such a route, which intake reads by itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _reference(VideoForm.__name__)},
                "application/json": {"schema": _reference(VideoJson.__name__)},
            },
        }
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _example(code: ApiErrorCode) -> dict[str, Any]:
    return {"value": ApiError(code, API_CODES[code].meaning).body.model_dump(mode="json")}
