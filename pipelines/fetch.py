"""One object from a disk, the web or an object store, whole and hashed, or a reason why not."""

import hashlib
import random
import time
from collections.abc import Iterator
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
    options: dict[str, Any] = {}
    if place.startswith(("http://", "https://")):
        options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=policy.timeout_s)}
    try:
        filesystem, path = fsspec.core.url_to_fs(place, **options)
    except ValueError as error:
        raise RejectedError("unknown_protocol", place.partition("://")[0]) from error
    except ImportError as error:
        raise AnimaticError(
            f"{place.partition('://')[0]}:// addresses need another package: {error}"
        ) from error
    if isinstance(filesystem, LocalFileSystem):
        return _local(Path(path), place, policy)
    with into.open("wb") as target:
        sha256, size = _persist(filesystem, path, target, policy)
    return Fetched(into, place, sha256, size)


def _persist(filesystem: Any, path: str, target: BinaryIO, policy: FetchPolicy) -> tuple[str, int]:
    """Download until it works or the attempts are used up; returns sha256 and bytes."""
    for attempt in range(policy.attempts):
        if attempt:
            time.sleep(policy.backoff_s * 2 ** (attempt - 1) * (1 + random.random()))
        try:
            return _download(filesystem, path, target, policy)
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise RejectedError("fetch_refused") from error
        except aiohttp.ClientResponseError as error:
            if error.status < 500 and error.status not in RETRIED_STATUS:
                raise RejectedError("fetch_refused", f"status {error.status}") from error
            failure = f"status {error.status}"
        except (OSError, aiohttp.ClientError) as error:
            failure = type(error).__name__
    raise RejectedError("fetch_failed", f"{failure}, {policy.attempts} attempts")


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


def _download(filesystem: Any, path: str, target: BinaryIO, policy: FetchPolicy) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    target.seek(0)
    target.truncate()
    # A block size of 0 makes one streamed request of it instead of many ranged ones.
    streamed = {"block_size": 0} if path.startswith(("http://", "https://")) else {}
    with filesystem.open(path, "rb", **streamed) as source:
        for block in _blocks(source):
            size += len(block)
            if size > policy.max_bytes:
                raise RejectedError("too_large", f"more than {policy.max_bytes} bytes")
            digest.update(block)
            try:
                target.write(block)
                target.flush()
            except OSError as error:  # our own disk's trouble must not pass for the source's
                raise RuntimeError(f"a download cannot be stored: {error}") from error
    return digest.hexdigest(), size


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
