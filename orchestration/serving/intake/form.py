"""multipart/form-data, parsed as it arrives: few parts, short headers, no file names, nothing on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from orchestration.serving.intake.raw import RawFields
from orchestration.serving.intake.text import decoded, quotable
from orchestration.serving.schema import PICTURES, ApiError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 40
_MOST_HEADERS, _MOST_HEADER_BYTES = 8, 1024
_UTF8 = frozenset((b"utf-8", b"utf8", b"us-ascii"))
_PLAIN = frozenset((b"", b"7bit", b"8bit", b"binary"))


@dataclass
class _Part:
    name: str = ""
    is_file: bool = False
    disposition: bytes = b""
    content: bytearray = field(default_factory=bytearray)


async def read_form(parts: AsyncIterator[bytes], boundary: bytes, text_bytes: int) -> RawFields:
    """The fields and pictures of a form.

    Args:
        text_bytes: that a field of text may have.

    Raises:
        ApiError: ``invalid_request`` or ``invalid_image``; what ``parts`` raises.
    """
    form = _Form(text_bytes)
    try:
        parser = MultipartParser(
            boundary, form.callbacks(), max_header_count=_MOST_HEADERS, max_header_size=_MOST_HEADER_BYTES
        )
        async for data in parts:
            parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise _damaged(str(error)) from error
    if not form.ended:
        raise _damaged("its last boundary is missing")
    return form.fields


class _Form:
    def __init__(self, text_bytes: int) -> None:
        self.fields, self.ended = RawFields(), False
        self._text_bytes, self._parts = text_bytes, 0
        self._part, self._name, self._value = _Part(), bytearray(), bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all_ended,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise _damaged(f"it has more than {_MOST_PARTS} parts")
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        name, value = bytes(self._name).lower(), bytes(self._value)
        self._name, self._value = bytearray(), bytearray()
        if name == b"content-disposition":
            self._part.disposition = value
        elif name == b"content-transfer-encoding" and value.strip().lower() not in _PLAIN:
            raise _damaged("a part has a Content-Transfer-Encoding: send it as it is")
        elif name == b"content-type":
            charset = parse_options_header(value)[1].get(b"charset", b"utf-8").lower()
            if charset not in _UTF8:
                raise _damaged(f"a part is text in {charset[:20].decode('latin-1')!r}: send UTF-8")

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._part.disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _damaged("a part has no Content-Disposition: form-data with a name")
        self._part.name = decoded("the name of a part", options[b"name"])
        # The name itself is never read: nothing of a client becomes a path.
        self._part.is_file = b"filename" in options
        if self._part.is_file and self._part.name not in PICTURES:
            name = quotable(self._part.name)
            message = f"{name!r} is a file: files are {' and '.join(PICTURES)}"
            raise ApiError("invalid_request", message, param=name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        content = self._part.content
        if self._part.name not in PICTURES and len(content) + end - start > self._text_bytes:
            name = quotable(self._part.name)
            message = f"{name} has more than {self._text_bytes} bytes"
            raise ApiError("invalid_request", message, param=name)
        content += data[start:end]

    def _end(self) -> None:
        part, content = self._part, bytes(self._part.content)
        self._part = _Part()
        if not part.is_file:
            self.fields.add(part.name, decoded(quotable(part.name), content))
        elif content or not _is_unfilled(part.disposition):
            self.fields.add(part.name, content)

    def _all_ended(self) -> None:
        self.ended = True


def _is_unfilled(disposition: bytes) -> bool:
    """Whether a browser sent the part for a file input that its user left empty."""
    return parse_options_header(disposition)[1].get(b"filename") == b""


def _damaged(problem: str) -> ApiError:
    return ApiError("invalid_request", f"the body is not a form that can be read: {problem}")
