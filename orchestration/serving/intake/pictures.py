"""Pictures of requests: checked by content, by their header first, and then decoded once as a job will."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from core.errors import AnimaticError
from orchestration.pictures import PictureLimits, PictureTooLargeError, open_picture
from orchestration.serving.schema import ApiError

# Of a JPEG; cameras and encoders write about ten. Each costs a pass over all of its pixels.
_MOST_SCANS = 100
_JPEG = b"\xff\xd8\xff"
# The end of a scan: any marker but a stuffed byte, a restart or a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_TYPES = frozenset(("", "image/png", "image/jpeg", "image/jpg", "image/webp", "application/octet-stream"))


@dataclass(frozen=True)
class PictureBytes:
    """A picture as it came, which can be opened: ``width`` and ``height`` are those of the upright picture,
    in pixels."""

    content: bytes
    sha256: str
    width: int
    height: int


def checked_picture(field: str, content: bytes, limits: PictureLimits) -> PictureBytes:
    """Decode a picture, so that a damaged one is refused now and not in its job.

    Raises:
        ApiError: ``image_too_large`` or ``invalid_image``.
    """
    if not content:
        raise ApiError("invalid_image", f"{field} is empty: send a PNG, JPEG or WebP", param=field)
    if content.startswith(_JPEG) and _scans(content) > _MOST_SCANS:
        message = f"{field} is a JPEG of more than {_MOST_SCANS} scans: re-export it"
        raise ApiError("invalid_image", message, param=field)
    try:
        with open_picture(content, name=field, limits=limits) as picture:
            width, height = picture.size
    except PictureTooLargeError as error:
        raise ApiError("image_too_large", str(error), param=field) from error
    except AnimaticError as error:
        raise ApiError("invalid_image", str(error), param=field) from error
    return PictureBytes(content, sha256(content).hexdigest(), width, height)


def from_data_url(field: str, text: str) -> bytes:
    """The bytes in a data: URL. Nothing is ever fetched.

    Raises:
        ApiError: ``url_not_allowed`` for another URL, ``invalid_image`` for other text or another type.
    """
    header = _DATA_URL.match(text)
    if header is None:
        scheme = _SCHEME.match(text)
        if scheme is not None and scheme[1].lower() != "data":
            message = (
                f"{field} is a URL of {scheme[1][:20]}:, and nothing is fetched: send the picture itself"
            )
            raise ApiError("url_not_allowed", message, param=field)
        message = f"{field} is neither a file nor a data: URL, as data:image/png;base64,…"
        raise ApiError("invalid_image", message, param=field)
    kind, parameters = header[1].strip().lower(), header[2].lower().split(";")
    if kind not in _TYPES:
        message = f"{field} is a data: URL of {kind[:40]!r}: send a PNG, JPEG or WebP"
        raise ApiError("invalid_image", message, param=field)
    if "base64" not in (parameter.strip() for parameter in parameters):
        raise ApiError("invalid_image", f"{field} is a data: URL without ;base64", param=field)
    try:
        return base64.b64decode(text[header.end() :].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ApiError("invalid_image", f"{field} is not valid base64", param=field) from error


def _scans(content: bytes) -> int:
    """Scans of a JPEG, by its markers; a damaged file has those before the damage. Counts one more than the
    limit at most."""
    scans, position = 0, 2
    while scans <= _MOST_SCANS and (marker := _MARKER.search(content, position)) is not None:
        kind, position = marker[0][1], marker.end()
        if kind == _END_OF_IMAGE:
            break
        scans += kind == _START_OF_SCAN
        if kind not in _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(content[position : position + 2], "big"))
    return scans
