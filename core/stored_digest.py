"""Whether an object in a store has the content of a local file, by the digest that the store keeps of it."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLAIN = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"([0-9a-f]{32})-(\d+)")
# How s3fs divides a large file: parts of 50 MiB, larger ones where these would be too many.
_PART_BYTES, _MOST_PARTS = 50 << 20, 10_000


def agrees(info: Mapping[str, Any], path: Path) -> bool | None:
    """Whether what fsspec reports about an object contains the digest of a local file.

    S3 reports the MD5 of an object's content as its ETag, and of one that was uploaded in parts the MD5 of
    the parts' MD5s; Google's store and Azure's report the MD5.

    Returns:
        None where the store reports no digest. False for another digest, or one of another kind: the ETag of
        an object that S3 encrypts with a key of KMS is no digest of its content.
    """
    stored = _reported(info)
    if stored is None:
        return None
    in_parts = _OF_PARTS.fullmatch(stored)
    if in_parts is None:
        return stored == _md5(path)
    return stored == _md5_of_parts(path, int(in_parts[2]))


def _reported(info: Mapping[str, Any]) -> str | None:
    etag = str(info.get("ETag") or "").strip('"').lower()
    if _PLAIN.fullmatch(etag) or _OF_PARTS.fullmatch(etag):
        return etag
    google = info.get("md5Hash")
    if google:
        return base64.b64decode(str(google)).hex()
    settings = info.get("content_settings") or {}
    azure = settings.get("content_md5") if isinstance(settings, Mapping) else None
    return bytes(azure).hex() if azure else None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5_of_parts(path: Path, parts: int) -> str | None:
    """As S3 computes it; None where s3fs would not have divided the file into so many parts."""
    size = path.stat().st_size
    part_bytes = max(_PART_BYTES, math.ceil(size / _MOST_PARTS))
    if math.ceil(size / part_bytes) != parts:
        return None
    digests = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(part_bytes):
            digests.update(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{digests.hexdigest()}-{parts}"
