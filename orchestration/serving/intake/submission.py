"""A request for a video: from its bytes to fields and pictures that are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from core.canonical_json import digest_of
from orchestration.pictures import PictureLimits
from orchestration.serving.intake.bodies import check_headers, chunks
from orchestration.serving.intake.form import read_form
from orchestration.serving.intake.json_body import read_json
from orchestration.serving.intake.limits import IntakeLimits
from orchestration.serving.intake.pictures import PictureBytes, checked_picture, from_data_url
from orchestration.serving.intake.raw import RawFields
from orchestration.serving.intake.slots import Slots
from orchestration.serving.intake.text import MOST_SHORT, check_text
from orchestration.serving.schema import PICTURES, ApiError, VideoRequest, parse_form, parse_json

Result = TypeVar("Result")
_FORM, _JSON = b"multipart/form-data", b"application/json"
_UTF8 = frozenset((b"utf-8", b"utf8"))
_UTF8_BYTES = 4  # of a character, at most
_SLOTS = Slots()
# Of a process: the memory of a picture of many pixels is held by two requests at most.
_DECODING = ThreadPoolExecutor(2, thread_name_prefix="decoding")


@dataclass(frozen=True)
class Submission:
    """A request that can be accepted.

    Attributes:
        fields: without the pictures.
        first: the picture that the clip continues.
        last: the picture that it ends at.
        digest: of fields and pictures, as the client gave them; however they were sent.
    """

    fields: VideoRequest
    first: PictureBytes
    last: PictureBytes | None
    digest: str


async def read_submission(request: Request, limits: IntakeLimits) -> Submission:
    """Receive and check a request. Authenticate it before: what is received costs memory and time.

    Raises:
        ApiError: the request cannot be used, or too many are being received.
        ClientDisconnect: the client closed the connection.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    _check_type(kind, options)
    check_headers(request.headers, limits.body_bytes)
    with _SLOTS.take(limits.bodies):
        parts = chunks(request.receive, limits.body_bytes, limits.body_seconds)
        if kind == _FORM:
            text_bytes = _UTF8_BYTES * max(limits.prompt_chars, MOST_SHORT)
            raw = await read_form(parts, options[b"boundary"], text_bytes)
            return await _decoding(lambda: _checked(raw, limits, is_form=True))
        body = b"".join([part async for part in parts])
        return await _decoding(lambda: _checked(read_json(body, limits.prompt_chars), limits, is_form=False))


def _check_type(kind: bytes, options: dict[bytes, bytes]) -> None:
    if kind not in (_FORM, _JSON):
        given = f"is {kind[:60].decode('latin-1')!r}" if kind else "has no Content-Type"
        raise ApiError(
            "unsupported_media_type", f"the body {given}: send multipart/form-data or application/json"
        )
    charset = options.get(b"charset", b"utf-8").lower()
    if charset not in _UTF8:
        given = charset[:20].decode("latin-1")
        raise ApiError("unsupported_media_type", f"the body is text in {given!r}: send UTF-8")
    if kind == _FORM and not options.get(b"boundary"):
        raise ApiError("invalid_request", "the Content-Type has no boundary: let the HTTP client write it")


async def _decoding(work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(_DECODING, work)


def _checked(raw: RawFields, limits: IntakeLimits, *, is_form: bool) -> Submission:
    for name, value in raw.values.items():
        check_text("the name of a field", name, limits.prompt_chars)
        if isinstance(value, str):
            check_text(name, value, limits.prompt_chars)
    fields = _parsed(raw, is_form=is_form)
    if PICTURES[0] not in raw.pictures:
        message = f"{PICTURES[0]} is missing: send the picture that the clip continues"
        raise ApiError("invalid_image", message, param=PICTURES[0])
    bounds = PictureLimits(limits.pixels, limits.side)
    found = {name: _picture(name, value, bounds) for name, value in raw.pictures.items()}
    first, last = found[PICTURES[0]], found.get(PICTURES[1])
    given = fields.model_dump(mode="json", exclude_unset=True)
    digests = [first.sha256, last.sha256 if last else None]
    return Submission(fields, first, last, digest_of({"fields": given, "pictures": digests}))


def _parsed(raw: RawFields, *, is_form: bool) -> VideoRequest:
    if not is_form:
        return parse_json(raw.values)
    values: dict[str, Any] = raw.values  # of a form, all of them are text
    return parse_form(values)


def _picture(name: str, value: bytes | str, limits: PictureLimits) -> PictureBytes:
    content = value if isinstance(value, bytes) else from_data_url(name, value)
    return checked_picture(name, content, limits)
