"""The local file that an object is downloaded into, attempt after attempt, hashed while it is written."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import RejectedError

BLOCK = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A fetched object: its local file and its content's digest. ``url`` is the URL or path it came from."""

    path: Path
    url: str
    sha256: str
    size: int


class DiskFailure(RuntimeError):
    """The local disk cannot store a download: a fault of this machine, not of the source."""


class Download:
    """Stores the blocks of one object. Use it as a context manager.

    Attributes:
        url: of the object.
        attempt: number of the current attempt, from 1.
    """

    def __init__(self, url: str, path: Path, max_bytes: int) -> None:
        """Raises DiskFailure if ``path`` cannot be created."""
        self.url, self.attempt = url, 0
        self._path, self._max_bytes = path, max_bytes
        self._size, self._digest = 0, hashlib.sha256()
        self._lock = threading.Lock()  # the thread of an attempt that timed out may still deliver blocks
        with _disk_errors():
            self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self) -> None:
        """Start again; blocks of earlier attempts are no longer accepted."""
        with self._lock:
            self.attempt += 1
            self._size, self._digest = 0, hashlib.sha256()
            self._file.seek(0)
            self._file.truncate()

    def add(self, block: bytes, attempt: int) -> None:
        """Store a block of an attempt.

        Raises InterruptedError if that attempt is over, RejectedError (too_large), and DiskFailure if the
        disk fails.
        """
        with self._lock:
            if attempt != self.attempt or self._file.closed:
                raise InterruptedError
            self._size += len(block)
            if self._size > self._max_bytes:
                raise RejectedError("too_large", f"more than {self._max_bytes} bytes")
            self._digest.update(block)
            with _disk_errors():
                self._file.write(block)
                self._file.flush()

    def fetched(self) -> Fetched:
        """The whole object."""
        return Fetched(self._path, self.url, self._digest.hexdigest(), self._size)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Keep errors of the local disk apart from those of the source, which are retried."""
    try:
        yield
    except OSError as error:
        raise DiskFailure(f"a download cannot be stored: {error}") from error
