"""Fetches objects from a disk, the web or an object store: whole and hashed, or rejected with a reason.

Downloads run in an event loop of their own thread, so that they continue while the caller decodes.
"""

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from yarl import URL

from core.errors import RejectedError
from core.files import sha256
from core.retry import RetryPolicy
from core.urls import is_web
from pipelines.fetch.access import WebAccess
from pipelines.fetch.download import BLOCK, DiskFailure, Download, Fetched
from pipelines.fetch.failures import FailedAttempt, classify
from pipelines.fetch.host_limits import OwnGate, turn
from pipelines.fetch.members import MemberReader
from pipelines.fetch.policy import FetchPolicy
from pipelines.fetch.sites import SiteReader, is_page_of_site
from pipelines.fetch.stores import check_address, local_path, read_object
from pipelines.fetch.web import Web, check_web_address
from pipelines.sources import MemberAddress

_POLL_S = 0.02
_PAGE = "text/html"
MISSING = RejectedError("missing_file")


class Fetcher:
    """Fetches objects, several at once, started in the order in which they were submitted.

    No download is started while ``waiting``, the bytes fetched and not yet used, has reached the policy's
    ``ahead_bytes``. Use it as a context manager; leaving cancels what is not done.
    """

    def __init__(
        self,
        policy: FetchPolicy,
        waiting: Callable[[], int] = lambda: 0,
        *,
        access: WebAccess | None = None,
    ) -> None:
        """``access``: what web requests carry, which is read as the policy names it if None."""
        self._policy, self._waiting = policy, waiting
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._gate = asyncio.Lock()
        access = access or policy.access()
        self._hosts = access.gate or OwnGate(policy.host_limits())
        self._web = Web(policy, access, self._hosts)
        self._sites = None if policy.sites is None else SiteReader(policy, access)
        self._members = MemberReader(self._web, policy.max_bytes, policy.timeout_s)

    def __enter__(self) -> Self:
        self._loop.set_default_executor(ThreadPoolExecutor(self._policy.concurrency, "fetch"))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, locations: list[str], into: Path, missing: RejectedError = MISSING) -> "Future[Fetched]":
        """Start to fetch the object at the first of several URLs or local paths that has one.

        Local files stay where they are, others go to ``into``. ``missing`` is the error if none has one. The
        result raises RejectedError (missing_file, empty_file, too_large, fetch_refused, fetch_failed,
        fetch_timeout, unknown_protocol), and RuntimeError if ``into`` cannot be written.
        """
        return asyncio.run_coroutine_threadsafe(self._fetch(locations, into, missing), self._loop)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._members.close()
        await self._web.close()

    async def _fetch(self, locations: list[str], into: Path, missing: RejectedError) -> Fetched:
        async with self._slots:
            # One at a time waits here, in the order of submission: the caller never waits for a later one.
            async with self._gate:
                while self._waiting() >= self._policy.ahead_bytes:
                    await asyncio.sleep(_POLL_S)
            for location in locations:
                try:
                    fetched = await self._fetch_one(location, into)
                except FileNotFoundError:
                    continue
                if fetched.size == 0:
                    raise RejectedError("empty_file")
                return fetched
        raise missing

    async def _fetch_one(self, url: str, into: Path) -> Fetched:
        """The object at ``url``. Raises FileNotFoundError if there is none, else as ``submit``."""
        address = MemberAddress.parse(url)
        path = local_path(url if address is None else address.url)
        if path is None and not is_web(url):
            check_address(url if address is None else address.url)
        if path is not None and address is None:
            return await asyncio.to_thread(_local_file, Path(path), url, self._policy.max_bytes)
        with Download(url, into, self._policy.max_bytes) as download:
            return await self._with_retries(lambda: self._attempt(download, address, into))

    async def _with_retries(self, attempt: Callable[[], Awaitable[Fetched]]) -> Fetched:
        attempts = self._policy.attempts
        retry = RetryPolicy(attempts, self._policy.backoff_s, jitter=True)
        try:
            return await retry.call_async(attempt)
        except FailedAttempt as error:
            raise RejectedError(error.reason, f"{error}, {attempts} attempts") from error

    async def _attempt(self, download: Download, address: MemberAddress | None, into: Path) -> Fetched:
        download.begin()
        try:
            if address is not None:
                return await self._members.read(address, download)
            if is_web(download.url):
                return await self._read_web(download, into)
            reading = asyncio.to_thread(read_object, download.url, download, download.attempt)
            return await asyncio.wait_for(reading, self._policy.timeout_s)
        except TimeoutError as error:
            raise FailedAttempt("fetch_timeout", f"{self._policy.timeout_s:g} seconds") from error
        except (RejectedError, FailedAttempt, DiskFailure):
            raise
        except Exception as error:  # the libraries of stores have types of their own, without a common base
            raise classify(error) from error

    async def _read_web(self, download: Download, into: Path) -> Fetched:
        if self._sites is not None and is_page_of_site(download.url):
            return await self._read_page(download.url, into, self._sites)
        # Not through fsspec, which reports every refusal and every outage as a missing file.
        async with self._web.get(download.url) as response:
            if self._sites is None or response.content_type != _PAGE:
                async for block in response.content.iter_chunked(BLOCK):
                    download.add(block, download.attempt)
                return download.fetched()
        return await self._read_page(download.url, into, self._sites)

    async def _read_page(self, url: str, into: Path, sites: SiteReader) -> Fetched:
        check_web_address(url, allow_private=self._policy.allow_private)
        async with turn(self._hosts, URL(url).host or ""):
            return await sites.read(url, into)


def _local_file(path: Path, url: str, max_bytes: int) -> Fetched:
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        size = path.stat().st_size
        if size > max_bytes:
            raise RejectedError("too_large", f"{size} bytes")
        return Fetched(path, url, sha256(path), size)
    except PermissionError as error:
        raise RejectedError("fetch_refused") from error
    except ValueError as error:  # a zero byte
        raise RejectedError("unsafe_path", str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
            raise FileNotFoundError(path) from error
        raise
