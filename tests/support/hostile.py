"""Requests that no client of good will sends, each with the answer that it deserves."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from orchestration.serving.schema import ApiErrorCode

BOUNDARY = "limit"
_FORM = f"multipart/form-data; boundary={BOUNDARY}"
# The limits that the requests exceed.
BODY_BYTES, PIXELS, SIDE, PROMPT_CHARS = 256 * 1024, 1_000_000, 4000, 500


@dataclass(frozen=True)
class Hostile:
    """A request and what answers it."""

    body: bytes
    code: ApiErrorCode
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/v1/videos"


def encoded(kind: str = "PNG", size: tuple[int, int] = (24, 16), **options: Any) -> bytes:
    """A picture of noise, as a file."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def part(name: str, content: bytes | str, filename: str | None = None, *more: str) -> bytes:
    """One part of a form."""
    about = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    headers = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {about}", *more))
    data = content.encode() if isinstance(content, str) else content
    return f"--{BOUNDARY}\r\n{headers}\r\n".encode("utf-8", "surrogateescape") + data + b"\r\n"


def form(*parts: bytes, first: bytes | None = None) -> bytes:
    """A form with a good picture, or with ``first``."""
    picture = part("input_reference", _png() if first is None else first, "a.png")
    return b"".join((picture, *parts, f"--{BOUNDARY}--\r\n".encode()))


def data_url(content: bytes | None = None, kind: str = "image/png") -> str:
    """A picture as a data: URL."""
    return f"data:{kind};base64," + base64.b64encode(_png() if content is None else content).decode()


def huge_png(width: int, height: int) -> bytes:
    """A small PNG of many black pixels."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def endless_scans(scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    whole = encoded("JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


def all_requests() -> dict[str, Hostile]:
    """By name."""
    return {**_forms(), **_pictures(), **_json(), **_headers()}


@cache
def _png() -> bytes:
    return encoded()


def _posted(body: bytes, code: ApiErrorCode, kind: str = _FORM, **headers: str) -> Hostile:
    return Hostile(body, code, {"Content-Type": kind, **headers})


def _forms() -> dict[str, Hostile]:
    refused = {
        "two of a field": form(part("seed", "1"), part("seed", "2")),
        "a field twice as file": form(part("input_reference", _png(), "b.png")),
        "a NUL": form(part("prompt", "a\0b")),
        "an escape": form(part("prompt", "a\x1b[31m")),
        "a C1 control": form(part("prompt", "a\x85b")),
        "latin-1": form(part("prompt", b"caf\xe9")),
        "an overlong encoding": form(part("prompt", b"\xc0\xaf")),
        "an encoded surrogate": form(part("prompt", b"\xed\xa0\x80")),
        "a long prompt": form(part("prompt", "x" * (PROMPT_CHARS + 1))),
        "a longer prompt": form(part("prompt", "x" * 100_000)),
        "text as a number": form(part("seed", "many")),
        "a fraction as a count": form(part("num_frames", "8.5")),
        "a huge integer": form(part("seed", "9" * 700)),
        "a negative seed": form(part("seed", "-1")),
        "nan": form(part("guidance_scale", "nan")),
        "infinity": form(part("guidance_scale", "inf")),
        "an overflow": form(part("guidance_scale", "1e999")),
        "a size of a path": form(part("size", "../../64x48")),
        "a size of digits of another script": form(part("size", "٦٤x٤٨")),
        "a size the model lacks": form(part("size", "99999x99999")),
        "many frames": form(part("num_frames", "9999")),
        "many steps": form(part("num_inference_steps", "1000")),
        "a file for a prompt": form(part("prompt", "hello", "prompt.txt")),
        "a part in UTF-16": form(part("prompt", "a", None, "Content-Type: text/plain; charset=utf-16")),
        "a part in base64": form(part("prompt", "YQ==", None, "Content-Transfer-Encoding: base64")),
        "many parts": form(*(part(f"f{number}", "") for number in range(100))),
        "many headers of a part": form(part("prompt", "a", None, *(f"X-{n}: 1" for n in range(50)))),
        "a long header of a part": form(part("prompt", "a", None, "X-Long: " + "x" * 10_000)),
        "a part without a name": form(f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\na\r\n".encode()),
        "no last boundary": form()[: -len(BOUNDARY) - 6],
        "no boundary at all": b"input_reference=a",
        "an empty body": b"",
    }
    wrong = {name: _posted(body, "invalid_request") for name, body in refused.items()}
    wrong["an unknown field"] = _posted(form(part("promt", "a")), "unknown_parameter")
    wrong["a pollution of prototypes"] = _posted(form(part("__proto__[admin]", "1")), "unknown_parameter")
    wrong["a model of a path"] = _posted(form(part("model", "../../etc/passwd")), "model_not_found")
    wrong["a model of an SQL statement"] = _posted(
        form(part("model", "x'; DROP TABLE jobs;--")), "model_not_found"
    )
    return wrong


def _pictures() -> dict[str, Hostile]:
    jpeg, webp = encoded("JPEG", (200, 100)), encoded("WEBP", (200, 100))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    large_webp = webp.replace(b"\x9d\x01\x2a" + struct.pack("<HH", 200, 100), b"\x9d\x01\x2a\xff\x3f\xff\x3f")
    damaged = {
        "a truncated JPEG": jpeg[:600],
        "a truncated PNG": encoded(size=(64, 64))[:4000],
        "a truncated WebP": webp[: len(webp) // 2],
        "the signature of a PNG alone": _png()[:8],
        "a JPEG of many scans": endless_scans(2000),
        "an SVG": svg,
        "a GIF": encoded("GIF"),
        "a BMP": encoded("BMP"),
        "a TIFF": encoded("TIFF"),
        "a PDF": b"%PDF-1.7\n" + bytes(100),
        "a page": b"<script>alert(1)</script>",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "no bytes": b"",
        "zeros": bytes(1000),
        "a PNG with a damaged colour profile": encoded(icc_profile=b"none"),
        "a PNG whose checksum is wrong": _png()[:40] + bytes([_png()[40] ^ 1]) + _png()[41:],
        "a PNG of a decompression bomb in its text": _text_bomb(),
        "a PNG without pixels": _header_only(0, 0),
    }
    large = {
        "a PNG of 12,000 x 12,000": huge_png(12_000, 12_000),
        "a PNG that claims 2 billion pixels each way": _header_only(2**31 - 1, 2**31 - 1),
        "a long, narrow PNG": huge_png(SIDE + 1, 2),
        "a WebP that claims 16383 x 16383": large_webp,
        "a JPEG that claims 65535 x 65535": jpeg.replace(struct.pack(">HH", 100, 200), b"\xff\xff\xff\xff"),
    }
    missing = b"".join((part("prompt", "a"), f"--{BOUNDARY}--\r\n".encode()))
    return {
        **{name: _posted(form(first=content), "invalid_image") for name, content in damaged.items()},
        **{name: _posted(form(first=content), "image_too_large") for name, content in large.items()},
        "no picture": _posted(missing, "invalid_image"),
        "a damaged last picture": _posted(form(part("last_reference", jpeg[:600], "a.jpg")), "invalid_image"),
        "a loop with a last picture": _posted(
            form(part("loop", "true"), part("last_reference", _png(), "a")), "invalid_request"
        ),
        "a path as picture": _posted(missing_with("/etc/passwd"), "invalid_image"),
        "a URL as picture": _posted(missing_with("http://169.254.169.254/latest"), "url_not_allowed"),
    }


def missing_with(reference: str) -> bytes:
    """A form whose picture is text."""
    return b"".join((part("input_reference", reference), f"--{BOUNDARY}--\r\n".encode()))


def _json() -> dict[str, Hostile]:
    def body(**fields: object) -> bytes:
        return json.dumps({"input_reference": data_url(), **fields}).encode()

    def raw(text: str) -> bytes:
        return text.replace("PICTURE", data_url()).encode("utf-8", "surrogatepass")

    invalid = {
        "no JSON": b"{",
        "a list": b"[]",
        "a string": b'"a"',
        "null": b"null",
        "a deep list": b'{"seed":' + b"[" * 400 + b"]" * 400 + b"}",
        "a deeper list": b"[" * 200_000,
        "many objects": b"[" + b"{}," * 80_000 + b"{}]",
        "NaN": raw('{"input_reference": "PICTURE", "guidance_scale": NaN}'),
        "Infinity": raw('{"input_reference": "PICTURE", "guidance_scale": -Infinity}'),
        "1e999": raw('{"input_reference": "PICTURE", "guidance_scale": 1e999}'),
        "an integer of 5,000 digits": raw('{"input_reference": "PICTURE", "seed": %s}' % ("9" * 5000)),
        "a key twice": raw('{"input_reference": "PICTURE", "seed": 1, "seed": 2}'),
        "an escaped surrogate": raw('{"input_reference": "PICTURE", "prompt": "a\\ud800"}'),
        "a key of a surrogate, twice": raw('{"\\ud800": 1, "\\ud800": 2}'),
        "a raw surrogate": raw('{"input_reference": "PICTURE", "prompt": "a\ud800"}'),
        "an escaped NUL": body(prompt="a\0"),
        "a raw NUL": raw('{"prompt": "a\0"}'),
        "UTF-16": body().decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + body(),
        "a number as prompt": body(prompt=5),
        "text as number": body(seed="5"),
        "true as number": body(seed=True),
        "a list as prompt": body(prompt=["a"]),
        "an object as size": body(size={"$gt": ""}),
        "a comment": raw('{"input_reference": "PICTURE" /* a */}'),
    }
    picture: dict[str, tuple[object, ApiErrorCode]] = {
        "an http URL": ("http://localhost/a.png", "url_not_allowed"),
        "an https URL": ("HTTPS://example.com/a.png", "url_not_allowed"),
        "a file URL": ("file:///etc/passwd", "url_not_allowed"),
        "an s3 URL": ("s3://bucket/a.png", "url_not_allowed"),
        "a URL in an object": ({"image_url": "gopher://localhost"}, "url_not_allowed"),
        "a data URL of SVG": (data_url(b"<svg/>", "image/svg+xml"), "invalid_image"),
        "a data URL of HTML": (data_url(b"<p>", "text/html"), "invalid_image"),
        "a data URL without base64": ("data:image/png,abc", "invalid_image"),
        "a data URL of no base64": ("data:image/png;base64,!!!!", "invalid_image"),
        "a data URL of emoji": ("data:image/png;base64," + "\U0001f3b1" * 100, "invalid_image"),
        "a data URL of nothing": ("data:image/png;base64,", "invalid_image"),
        "a JSON path": ("../../etc/passwd", "invalid_image"),
        "a number as picture": (5, "invalid_image"),
        "a list as picture": ([data_url()], "invalid_image"),
        "null as picture": (None, "invalid_image"),
        "an object without image_url": ({}, "invalid_image"),
        "an object with another key": ({"image_url": data_url(), "detail": "high"}, "unknown_parameter"),
    }
    kind = "application/json"
    return {
        **{f"JSON: {name}": _posted(content, "invalid_request", kind) for name, content in invalid.items()},
        **{
            f"JSON: {name}": _posted(body(input_reference=value), code, kind)
            for name, (value, code) in picture.items()
        },
        "JSON: an unknown field": _posted(body(negative_prompt="a"), "unknown_parameter", kind),
        "JSON: a bomb": _posted(
            body(input_reference=data_url(huge_png(12_000, 12_000))), "image_too_large", kind
        ),
        "JSON: an admin's body of 100 kB": Hostile(
            b'"' + b"a" * 100_000 + b'"', "body_too_large", {"Content-Type": kind}, path="/v1/admin/rollback"
        ),
    }


def _headers() -> dict[str, Hostile]:
    whole = form()
    return {
        "no type": Hostile(whole, "unsupported_media_type"),
        "text": _posted(whole, "unsupported_media_type", "text/plain"),
        "a form of a page": _posted(
            b"prompt=a", "unsupported_media_type", "application/x-www-form-urlencoded"
        ),
        "bytes": _posted(_png(), "unsupported_media_type", "image/png"),
        "XML": _posted(
            b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", "unsupported_media_type", "text/xml"
        ),
        "multipart/mixed": _posted(whole, "unsupported_media_type", f"multipart/mixed; boundary={BOUNDARY}"),
        "JSON in UTF-16": _posted(b"{}", "unsupported_media_type", "application/json; charset=utf-16"),
        "no boundary": _posted(whole, "invalid_request", "multipart/form-data"),
        "a long boundary": _posted(whole, "invalid_request", "multipart/form-data; boundary=" + "a" * 5000),
        "another boundary": _posted(whole, "invalid_request", "multipart/form-data; boundary=other"),
        "gzip": _posted(zlib.compress(whole), "unsupported_media_type", **{"Content-Encoding": "gzip"}),
        "two compressions": _posted(whole, "unsupported_media_type", **{"Content-Encoding": "br, gzip"}),
        "a large body": _posted(form(part("prompt", "x" * BODY_BYTES)), "body_too_large"),
        "a long Idempotency-Key": _posted(whole, "invalid_request", **{"Idempotency-Key": "k" * 1000}),
        "a body of a GET": Hostile(b"a" * 100_000, "body_too_large", method="GET", path="/v1/models"),
        "a body of no route": Hostile(b"a" * 100_000, "body_too_large", path="/nothing"),
        "a path of another folder": Hostile(
            b"", "not_found", method="GET", path="/v1/videos/..%2f..%2fetc/content"
        ),
        "an id of a statement": Hostile(b"", "not_found", method="GET", path="/v1/videos/%27%20OR%201=1--"),
        "an id with NUL": Hostile(b"", "not_found", method="GET", path="/v1/videos/%00"),
        "a long id": Hostile(b"", "invalid_request", method="GET", path="/v1/videos/" + "a" * 3000),
        "a method": Hostile(b"", "method_not_allowed", method="PUT"),
    }


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _header_only(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    text = _chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(64 * 2**20), 9))
    return _png()[:33] + text + _png()[33:]
