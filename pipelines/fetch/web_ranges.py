"""Ranges of files on web servers (RFC 9110, section 14)."""

import re
from collections.abc import AsyncIterator

import aiohttp

from core.errors import RejectedError
from pipelines.fetch.download import BLOCK
from pipelines.fetch.failures import FailedAttempt, check_status

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_MOST_SKIPPED = 64 << 20  # bytes read in vain from a server that only sends whole files


def range_headers(offset: int, size: int) -> dict[str, str]:
    """The headers of a request for ``size`` bytes, one or more."""
    return {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}


def size_of_file(response: aiohttp.ClientResponse, offset: int, size: int) -> int:
    """The size of the file that a range is from.

    Raises RejectedError (fetch_refused) if the server sends whole files only, or another range,
    RejectedError (unreadable_archive) if the file ends before, and as ``check_status``.
    """
    if response.status == 416:
        raise _ends_before(offset + size)
    if response.status == 200:
        raise RejectedError("fetch_refused", "the server sends whole files, and no parts of them")
    if response.status != 206:
        check_status(response)
        raise RejectedError("fetch_refused", f"status {response.status} for a part of a file")
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None or response.headers.get("Content-Encoding", "identity") != "identity":
        raise RejectedError("fetch_refused", "status 206 without the part that was asked for")
    start, last, total = map(int, found.groups())
    if total < offset + size:
        raise _ends_before(offset + size)
    if (start, last) != (offset, offset + size - 1):
        raise RejectedError("fetch_refused", f"bytes {start}-{last} instead of {offset}-{offset + size - 1}")
    return total


async def range_blocks(response: aiohttp.ClientResponse, offset: int, size: int) -> AsyncIterator[bytes]:
    """The bytes of a range; of a whole file that is sent instead, those before it are skipped.

    Raises as ``size_of_file``, and FailedAttempt if fewer bytes come.
    """
    skipped = 0
    if response.status == 200:
        if offset > _MOST_SKIPPED:
            size_of_file(response, offset, size)
        skipped = offset
    else:
        size_of_file(response, offset, size)
    position, end = offset - skipped, offset + size
    async for block in response.content.iter_chunked(BLOCK):
        wanted = block[max(0, offset - position) : end - position]
        position += len(block)
        if wanted:
            yield wanted
        if position >= end:
            return
    if response.status == 200:
        raise _ends_before(end)
    raise FailedAttempt("fetch_failed", f"{max(0, position - offset)} of {size} bytes")


def _ends_before(end: int) -> RejectedError:
    return RejectedError("unreadable_archive", f"the file ends before byte {end}")
