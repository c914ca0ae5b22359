"""The first bytes of videos: whether they can be reached, and what they seem to be. Nothing is stored."""

import asyncio
from dataclasses import dataclass
from typing import BinaryIO

import aiohttp

from core.errors import RejectedError
from core.urls import is_web
from pipelines.fetch.access import WebAccess
from pipelines.fetch.failures import FailedAttempt, classify
from pipelines.fetch.host_limits import OwnGate
from pipelines.fetch.policy import FetchPolicy
from pipelines.fetch.stores import check_address, local_path, open_local, open_object
from pipelines.fetch.web import Web
from pipelines.sources import MemberAddress

_HEAD_BYTES = 512
_PAGE = (b"<!doctype html", b"<html")


@dataclass(frozen=True)
class Probe:
    """What the first bytes of a location show.

    Attributes:
        location: it; the last one that was tried if none has a file.
        bytes: size, if it is known.
        is_page: whether it is a page of the web and no file.
        reason: of the rejection, None if the first bytes can be read.
        detail: of the rejection.
    """

    location: str
    bytes: int | None = None
    is_page: bool = False
    reason: str | None = None
    detail: str = ""


def probe(rows: list[list[str]], policy: FetchPolicy, access: WebAccess) -> list[Probe]:
    """Probe the first location of each row that has a file, as a fetcher would, with one attempt each."""
    return asyncio.run(_probe(rows, policy, access))


async def _probe(rows: list[list[str]], policy: FetchPolicy, access: WebAccess) -> list[Probe]:
    web = Web(policy, access, OwnGate(policy.host_limits()))
    slots = asyncio.Semaphore(policy.concurrency)

    async def one(locations: list[str]) -> Probe:
        async with slots:
            return await _first_of(locations, web, policy.timeout_s)

    try:
        return list(await asyncio.gather(*map(one, rows)))
    finally:
        await web.close()


async def _first_of(locations: list[str], web: Web, timeout_s: float) -> Probe:
    for location in locations:
        try:
            return await asyncio.wait_for(_look_at(location, web), timeout_s)
        except FileNotFoundError:
            continue
        except TimeoutError:
            return Probe(location, reason="fetch_timeout", detail=f"{timeout_s:g} seconds")
        except (RejectedError, FailedAttempt) as error:
            detail = error.detail if isinstance(error, RejectedError) else str(error)
            return Probe(location, reason=error.reason, detail=detail)
    return Probe(locations[-1] if locations else "", reason="missing_file")


async def _look_at(location: str, web: Web) -> Probe:
    """Raises RejectedError, FailedAttempt, FileNotFoundError and TimeoutError."""
    member = MemberAddress.parse(location)
    url = location if member is None else member.url
    try:
        if not is_web(url):
            if local_path(url) is None:
                check_address(url)
            return await asyncio.to_thread(_look_at_file, location, url, member)
        async with web.get(url) as response:
            head = await response.content.read(_HEAD_BYTES)
    except (RejectedError, FailedAttempt, TimeoutError):
        raise
    except Exception as error:  # the libraries of stores have types of their own, without a common base
        raise classify(error) from error
    size = response.content_length if member is None else member.size
    return Probe(location, size, is_page=member is None and _is_page(response, head))


def _look_at_file(location: str, url: str, member: MemberAddress | None) -> Probe:
    with _open(url) as file:
        size = file.seek(0, 2) if member is None else member.size
        if size == 0:
            raise RejectedError("empty_file")
        if member is not None and file.seek(0, 2) < (member.offset or 0) + (member.size or 0):
            raise RejectedError("unreadable_archive", "the file ends before the video")
        file.seek(0)
        file.read(_HEAD_BYTES)
    return Probe(location, size)


def _open(url: str) -> BinaryIO:
    path = local_path(url)
    return open_object(url) if path is None else open_local(path)


def _is_page(response: aiohttp.ClientResponse, head: bytes) -> bool:
    return response.content_type == "text/html" or head.lstrip().lower().startswith(_PAGE)
