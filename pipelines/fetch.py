"""One object from a disk, the web or an object store, whole and hashed, or a reason why not."""

import asyncio
import functools
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel, ConfigDict, Field

from models.errors import AnimaticError
from pipelines.rejection import RejectedError

BLOCK = 1 << 20
RETRIED_STATUS = {408, 425, 429}


class FetchPolicy(BaseModel):
    """How hard to try, and how much to take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(2 << 30, gt=0)
    attempts: int = Field(3, ge=1)
    backoff_s: float = Field(1.0, ge=0)  # doubles with every attempt, plus up to as much again at random
    timeout_s: float = Field(120.0, gt=0)  # for one attempt


@dataclass(frozen=True)
class Fetched:
    """A local file and what it holds. ``url`` is the place it came from."""

    path: Path
    url: str
    sha256: str
    size: int


def fetch(places: list[str], into: Path, policy: FetchPolicy) -> Fetched:
    """The object at the first place that has one. Local files stay where they are, others go to ``into``.

    Raises RejectedError: missing_file, empty_file, too_large, fetch_refused, fetch_failed, unknown_protocol.
    """
    for place in places:
        try:
            fetched = _fetch_one(place, into, policy)
        except FileNotFoundError:
            continue
        if fetched.size == 0:
            raise RejectedError("empty_file")
        return fetched
    raise RejectedError("missing_file")


def _fetch_one(place: str, into: Path, policy: FetchPolicy) -> Fetched:
    if place.startswith(("http://", "https://")):
        read: Callable[[_Sink], None] = functools.partial(_read_web, place, policy.timeout_s)
    else:
        try:
            filesystem, path = fsspec.core.url_to_fs(place)
        except ValueError as error:
            raise RejectedError("unknown_protocol", place.partition("://")[0]) from error
        except ImportError as error:
            raise AnimaticError(f"{place[:80]} needs another package: {error}") from error
        if isinstance(filesystem, LocalFileSystem):
            return _local(Path(path), place, policy)
        read = functools.partial(_read_store, filesystem, path)
    with into.open("wb") as target:
        sink = _persist(read, target, policy)
    return Fetched(into, place, sink.sha256, sink.size)


class _Sink:
    """Takes the blocks of one attempt."""

    def __init__(self, target: BinaryIO, max_bytes: int) -> None:
        self.size = 0
        self._target, self._max_bytes = target, max_bytes
        self._digest = hashlib.sha256()
        target.seek(0)
        target.truncate()

    def take(self, block: bytes) -> None:
        self.size += len(block)
        if self.size > self._max_bytes:
            raise RejectedError("too_large", f"more than {self._max_bytes} bytes")
        self._digest.update(block)
        try:
            self._target.write(block)
            self._target.flush()
        except OSError as error:  # our own disk's trouble must not pass for the source's
            raise RuntimeError(f"a download cannot be stored: {error}") from error

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _persist(read: Callable[[_Sink], None], target: BinaryIO, policy: FetchPolicy) -> _Sink:
    """Download until it works or the attempts are used up."""
    for attempt in range(policy.attempts):
        if attempt:
            time.sleep(policy.backoff_s * 2 ** (attempt - 1) * (1 + random.random()))
        sink = _Sink(target, policy.max_bytes)
        try:
            read(sink)
            return sink
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise RejectedError("fetch_refused") from error
        except aiohttp.InvalidURL as error:
            raise RejectedError("fetch_refused", "not a valid address") from error
        except aiohttp.ClientResponseError as error:
            if error.status in (404, 410):
                raise FileNotFoundError from error
            if error.status < 500 and error.status not in RETRIED_STATUS:
                raise RejectedError("fetch_refused", f"status {error.status}") from error
            failure = f"status {error.status}"
        except (OSError, aiohttp.ClientError) as error:
            failure = type(error).__name__
    raise RejectedError("fetch_failed", f"{failure}, {policy.attempts} attempts")


def _read_web(url: str, timeout_s: float, sink: _Sink) -> None:
    asyncio.run(_stream(url, timeout_s, sink))


async def _stream(url: str, timeout_s: float, sink: _Sink) -> None:
    # Not through fsspec: it reports every refusal and every outage as a missing file.
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True, trust_env=True) as session,
        session.get(url) as response,
    ):
        async for block in response.content.iter_chunked(BLOCK):
            sink.take(block)


def _read_store(filesystem: Any, path: str, sink: _Sink) -> None:
    with filesystem.open(path, "rb") as source:
        for block in _blocks(source):
            sink.take(block)


def _local(path: Path, place: str, policy: FetchPolicy) -> Fetched:
    if not path.is_file():
        raise FileNotFoundError(path)
    size = path.stat().st_size
    if size > policy.max_bytes:
        raise RejectedError("too_large", f"{size} bytes")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in _blocks(file):
                digest.update(block)
    except PermissionError as error:
        raise RejectedError("fetch_refused") from error
    return Fetched(path, place, digest.hexdigest(), size)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
