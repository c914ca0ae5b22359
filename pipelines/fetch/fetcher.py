"""One object from a disk, the web or an object store, whole and hashed, or a reason why not.

Downloads run in an event loop of their own thread, so that they go on while the caller decodes.
"""

import asyncio
import contextlib
import errno
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import aiohttp
import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from core.config.section import Section
from core.errors import AnimaticError, RejectedError
from core.files import sha256
from core.retry import RetryableError, RetryPolicy
from core.urls import is_web
from pipelines.fetch.web import Web

BLOCK = 1 << 20
RETRIED_STATUS = {408, 425, 429}
MAX_RETRY_AFTER_S = 60
POLL_S = 0.02


class FetchPolicy(Section):
    """Attempts, sizes and concurrency of downloads; limits are those of one worker."""

    max_bytes: int = Field(2 << 30, gt=0, description="largest file, bytes")
    attempts: int = Field(3, ge=1, description="attempts at one file, the first included")
    backoff_s: float = Field(
        1.0,
        ge=0,
        description="pause before the second attempt, seconds; doubles with each one, and up to as much "
        "again is added at random",
    )
    timeout_s: float = Field(120.0, gt=0, description="of one attempt, seconds")
    concurrency: int = Field(8, ge=1, le=256, description="downloads at once")
    per_host: int = Field(8, ge=1, description="downloads at once from one host")
    ahead: int = Field(16, ge=1, description="files fetched before their turn")
    ahead_bytes: int = Field(
        512 << 20, gt=0, description="no download is begun while as many fetched bytes wait"
    )
    allow_private: bool = Field(False, description="http sources may have addresses that are not public")


@dataclass(frozen=True)
class Fetched:
    """A local file and what it holds. ``url`` is the URL or path it came from."""

    path: Path
    url: str
    sha256: str
    size: int


class Fetcher:
    """Fetches objects, several at once, begun in the order in which they were asked for.

    None is begun while ``waiting``, bytes that were fetched and not used yet, has reached the policy's
    ``ahead_bytes``. Use it as a context manager; leaving cancels what is not done.
    """

    def __init__(self, policy: FetchPolicy, waiting: Callable[[], int] = lambda: 0) -> None:
        self._policy, self._waiting = policy, waiting
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fetch", daemon=True)
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._gate = asyncio.Lock()
        self._web = Web(
            connections=policy.concurrency,
            per_host=policy.per_host,
            timeout_s=policy.timeout_s,
            allow_private=policy.allow_private,
        )

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

    def submit(self, locations: list[str], into: Path) -> "Future[Fetched]":
        """Begin to fetch the object at the first of several URLs or local paths that has one.

        Local files stay where they are, others go to ``into``. The result raises RejectedError: missing_file,
        empty_file, too_large, fetch_refused, fetch_failed, fetch_timeout, unknown_protocol.
        """
        return asyncio.run_coroutine_threadsafe(self._fetch(locations, into), self._loop)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._web.close()

    async def _fetch(self, locations: list[str], into: Path) -> Fetched:
        async with self._slots:
            async with self._gate:  # first come, first served: what is waited for is never behind what waits
                while self._waiting() >= self._policy.ahead_bytes:
                    await asyncio.sleep(POLL_S)
            for location in locations:
                try:
                    fetched = await self._fetch_one(location, into)
                except FileNotFoundError:
                    continue
                if fetched.size == 0:
                    raise RejectedError("empty_file")
                return fetched
        raise RejectedError("missing_file")

    async def _fetch_one(self, url: str, into: Path) -> Fetched:
        if is_web(url):
            with _created(into) as target:
                return await self._persist(_Sink(url, into, target, self._policy.max_bytes), None)
        filesystem, path = _store(url)
        if isinstance(filesystem, LocalFileSystem):
            return await asyncio.to_thread(_local, Path(path), url, self._policy)
        with _created(into) as target:
            sink = _Sink(url, into, target, self._policy.max_bytes)
            return await self._persist(sink, (filesystem, path))

    async def _persist(self, sink: "_Sink", store: tuple[Any, str] | None) -> Fetched:
        """Download until it works or the attempts are used up."""
        attempts = self._policy.attempts
        retry = RetryPolicy(attempts, self._policy.backoff_s, jitter=True)
        try:
            return await retry.call_async(lambda: self._attempt(sink, store))
        except _FailedAttempt as error:
            raise RejectedError(error.reason, f"{error}, {attempts} attempts") from error

    async def _attempt(self, sink: "_Sink", store: tuple[Any, str] | None) -> Fetched:
        sink.begin()
        try:
            return await self._download(sink, store)
        except TimeoutError as error:
            raise _FailedAttempt("fetch_timeout", f"{self._policy.timeout_s:g} seconds") from error
        except (OSError, aiohttp.ClientError) as error:
            raise _FailedAttempt("fetch_failed", _failure(error), pause_s=_retry_after(error)) from error

    async def _download(self, sink: "_Sink", store: tuple[Any, str] | None) -> Fetched:
        if store is not None:
            reading = asyncio.to_thread(_read_store, *store, sink, sink.attempt)
            return await asyncio.wait_for(reading, self._policy.timeout_s)
        # Not through fsspec: it reports every refusal and every outage as a missing file.
        async with self._web.get(sink.url) as response:
            async for block in response.content.iter_chunked(BLOCK):
                sink.take(block, sink.attempt)
        return sink.fetched()


class _FailedAttempt(RetryableError):
    """An attempt that failed, and what the rejection is called if it was the last."""

    def __init__(self, reason: str, message: str, *, pause_s: float = 0.0) -> None:
        super().__init__(message, pause_s=pause_s)
        self.reason = reason


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """Our own disk's trouble must not pass for the source's."""
    try:
        yield
    except OSError as error:
        raise RuntimeError(f"a download cannot be stored: {error}") from error


def _created(path: Path) -> BinaryIO:
    with _ours():
        return path.open("wb")


def _store(url: str) -> tuple[Any, str]:
    if "::" in url:
        raise RejectedError("fetch_refused", "an address within an address")
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise RejectedError("unknown_protocol", url.partition("://")[0]) from error
    except ImportError as error:
        raise AnimaticError(f"{url[:80]} needs another package: {error}") from error
    return filesystem, path


def _failure(error: Exception) -> str:
    """What to say of an error that another attempt may not meet; raises what is final."""
    if isinstance(error, FileNotFoundError):
        raise error
    if isinstance(error, PermissionError):
        raise RejectedError("fetch_refused") from error
    if isinstance(error, aiohttp.InvalidURL):
        raise RejectedError("fetch_refused", "not a valid address") from error
    if isinstance(error, aiohttp.ClientResponseError):
        if error.status in (404, 410):
            raise FileNotFoundError from error
        if error.status < 500 and error.status not in RETRIED_STATUS:
            raise RejectedError("fetch_refused", f"status {error.status}") from error
        return f"status {error.status}"
    return type(error).__name__


def _retry_after(error: Exception) -> float:
    """Seconds that the server asked to wait, as far as they are granted, or 0."""
    headers = error.headers if isinstance(error, aiohttp.ClientResponseError) else None
    wait = "" if headers is None else headers.get("Retry-After", "")
    return min(float(wait), MAX_RETRY_AFTER_S) if wait.isdecimal() else 0.0


class _Sink:
    """Takes the blocks of one object, attempt after attempt."""

    def __init__(self, url: str, path: Path, target: BinaryIO, max_bytes: int) -> None:
        self.url, self.attempt = url, 0
        self._path, self._target, self._max_bytes = path, target, max_bytes
        self._size, self._digest = 0, hashlib.sha256()
        self._lock = threading.Lock()  # a store's thread outlives the attempt that gave up on it

    def begin(self) -> None:
        """Start anew; blocks of earlier attempts are no longer taken."""
        with self._lock:
            self.attempt += 1
            self._size, self._digest = 0, hashlib.sha256()
            self._target.seek(0)
            self._target.truncate()

    def take(self, block: bytes, attempt: int) -> None:
        """Store a block; InterruptedError if the attempt that it belongs to is over."""
        with self._lock:
            self._take(block, attempt)

    def _take(self, block: bytes, attempt: int) -> None:
        if attempt != self.attempt or self._target.closed:
            raise InterruptedError
        self._size += len(block)
        if self._size > self._max_bytes:
            raise RejectedError("too_large", f"more than {self._max_bytes} bytes")
        self._digest.update(block)
        with _ours():
            self._target.write(block)
            self._target.flush()

    def fetched(self) -> Fetched:
        """The whole object."""
        return Fetched(self._path, self.url, self._digest.hexdigest(), self._size)


def _read_store(filesystem: Any, path: str, sink: _Sink, attempt: int) -> Fetched:
    with filesystem.open(path, "rb") as source:
        for block in _blocks(source):
            sink.take(block, attempt)
    return sink.fetched()


def _local(path: Path, url: str, policy: FetchPolicy) -> Fetched:
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        size = path.stat().st_size
        if size > policy.max_bytes:
            raise RejectedError("too_large", f"{size} bytes")
        return Fetched(path, url, sha256(path), size)
    except PermissionError as error:
        raise RejectedError("fetch_refused") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(path) from error
        raise


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
