"""Every error code of the API: the status it is answered with, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ApiErrorCode = Literal[
    "invalid_request",
    "unknown_parameter",
    "invalid_image",
    "image_too_large",
    "unsupported_media_type",
    "url_not_allowed",
    "body_too_large",
    "body_timeout",
    "missing_key",
    "invalid_key",
    "forbidden",
    "not_found",
    "model_not_found",
    "method_not_allowed",
    "not_ready",
    "no_former_version",
    "expired",
    "range_not_satisfiable",
    "idempotency_key_reused",
    "queue_full",
    "rate_limited",
    "too_many_uploads",
    "still_running",
    "video_failed",
    "unavailable",
    "storage_full",
    "internal",
]
JobErrorCode = Literal["out_of_memory", "not_finite", "model_unavailable", "replica_lost", "internal"]
ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "rate_limit_error",
    "service_unavailable_error",
    "server_error",
]


@dataclass(frozen=True)
class ApiCode:
    """An error code of an answer.

    Attributes:
        status: of the answer.
        kind: ``error.type``, coarser than the code.
        meaning: one sentence, for the documentation.
    """

    status: int
    kind: ErrorType
    meaning: str


API_CODES: dict[ApiErrorCode, ApiCode] = {
    "invalid_request": ApiCode(400, "invalid_request_error", "A field has a value that cannot be used."),
    "unknown_parameter": ApiCode(
        400, "invalid_request_error", "A field does not exist; the message names the nearest one."
    ),
    "invalid_image": ApiCode(
        400, "invalid_request_error", "A picture is missing, damaged, or not a PNG, JPEG or WebP."
    ),
    "image_too_large": ApiCode(413, "invalid_request_error", "A picture has more pixels than the limit."),
    "unsupported_media_type": ApiCode(
        415, "invalid_request_error", "The body is neither multipart/form-data nor application/json."
    ),
    "url_not_allowed": ApiCode(
        400,
        "invalid_request_error",
        "A picture is a URL that is not data:, which is never fetched; send the picture itself.",
    ),
    "body_too_large": ApiCode(413, "invalid_request_error", "The body has more bytes than the limit."),
    "body_timeout": ApiCode(408, "invalid_request_error", "The body did not arrive in time."),
    "missing_key": ApiCode(401, "authentication_error", "The service needs an API key."),
    "invalid_key": ApiCode(401, "authentication_error", "The API key does not exist or was revoked."),
    "forbidden": ApiCode(403, "permission_error", "The API key is not an admin key."),
    "not_found": ApiCode(404, "not_found_error", "No such path, or no such video of this key."),
    "model_not_found": ApiCode(404, "not_found_error", "No such model is served."),
    "method_not_allowed": ApiCode(405, "invalid_request_error", "The path exists, not with this method."),
    "not_ready": ApiCode(
        409, "conflict_error", "The video has no content: it has not ended yet, or ended without a clip."
    ),
    "no_former_version": ApiCode(
        409, "conflict_error", "No replica has a version before the one that is served."
    ),
    "expired": ApiCode(410, "not_found_error", "The content of the video was removed after its time."),
    "range_not_satisfiable": ApiCode(416, "invalid_request_error", "The range is outside of the content."),
    "idempotency_key_reused": ApiCode(
        422, "conflict_error", "The Idempotency-Key was used with another request."
    ),
    "queue_full": ApiCode(429, "rate_limit_error", "Too many videos wait; Retry-After states when to retry."),
    "rate_limited": ApiCode(
        429, "rate_limit_error", "Too many requests of this key; Retry-After states when to retry."
    ),
    "too_many_uploads": ApiCode(
        503, "service_unavailable_error", "Too many bodies are being received; retry after Retry-After."
    ),
    "still_running": ApiCode(
        504, "server_error", "The request waited too long for the device; the video continues under its id."
    ),
    "video_failed": ApiCode(
        500,
        "server_error",
        "The video of a synchronous request failed; the message has the code and the reason.",
    ),
    "unavailable": ApiCode(
        503, "service_unavailable_error", "No replica has a model yet, or the database does not answer."
    ),
    "storage_full": ApiCode(507, "server_error", "The results store has no room."),
    "internal": ApiCode(500, "server_error", "A fault of the service; the log has the id in the message."),
}

JOB_CODES: dict[JobErrorCode, str] = {
    "out_of_memory": "The device has too little memory for one clip of this size.",
    "not_finite": "The clip has pixels that are not finite: lower the guidance.",
    "model_unavailable": "The model is not served any more, or cannot make this video.",
    "replica_lost": "Every attempt ended with the loss of its replica.",
    "internal": "A fault of the service; the log has the id in the message.",
}
