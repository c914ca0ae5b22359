"""The folder that a run is copied to: reads and writes that outlast an outage of its store."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from core.files import sha256
from core.retry import RetryPolicy
from core.storage import Folder, UnavailableError
from core.urls import without_credentials

Value = TypeVar("Value")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class _LastError(UnavailableError):
    """Of an attempt that none follows, since the time for them is over."""


class RemoteFolder:
    """A folder by its URL. Every operation is tried again, with growing pauses, while the store fails.

    File names are relative to the folder and may contain subfolders. All methods raise StoreError: of the
    type UnavailableError where the store was still failing after ``patience_s``.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        """
        Args:
            patience_s: no further attempt at an operation once its pauses add up to so many seconds.

        Raises AnimaticError for a URL of an unknown kind.
        """
        self._folder = Folder(url)
        self._retry = RetryPolicy(
            attempts=None,
            pause_s=_FIRST_PAUSE_S,
            most_pause_s=_LONGEST_PAUSE_S,
            patience_s=patience_s,
            jitter=True,
            on=(UnavailableError,),
            final=(_LastError,),
        )
        self._ends_at = math.inf

    def limit_patience(self, patience_s: float) -> None:
        """From now on, try operations again for so many seconds in all, those in progress included."""
        self._ends_at = min(self._ends_at, time.monotonic() + patience_s)

    def __str__(self) -> str:
        return without_credentials(self._folder.url)

    def put(self, name: str, path: Path) -> None:
        """Create or replace a file by a copy of a local one, and check that the store has its content.

        The check compares the digest that the store reports, or the sizes where it reports none.

        Raises FileNotFoundError where the local file is missing.
        """

        def attempt() -> None:
            self._folder.store(name, path)
            if not self._has(name, path):
                raise UnavailableError(f"{self}/{name}: differs from {path} after the upload")

        self._call(attempt)

    def has(self, name: str, path: Path) -> bool:
        """Whether there is a file with the content of a local one; see :meth:`put`."""
        return self._call(lambda: self._has(name, path))

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a small file."""
        self._call(lambda: self._folder.write(name, data))

    def create(self, name: str, data: bytes) -> None:
        """Create a small file; of several writers one succeeds.

        An attempt whose answer was lost may have created it: the content is then compared.

        Raises FileExistsError where it exists with another content.
        """

        def attempt() -> None:
            try:
                self._folder.create(name, data)
            except FileExistsError:
                if self._folder.read(name) != data:
                    raise

        self._call(attempt)

    def get(self, name: str, path: Path) -> None:
        """Copy a file to a local path. Raises FileNotFoundError."""
        self._call(lambda: self._folder.fetch(name, path))

    def read(self, name: str) -> bytes:
        """The content of a small file. Raises FileNotFoundError."""
        return self._call(lambda: self._folder.read(name))

    def sha256(self, name: str) -> str:
        """Digest of a file, which is read whole. Raises FileNotFoundError."""
        return self._call(lambda: self._folder.sha256(name))

    def list(self, subfolder: str = "") -> dict[str, int]:
        """Bytes of every file in a subfolder and below it, by name from there on; none without it."""
        return self._call(lambda: _present(lambda: self._folder.tree(subfolder)))

    def delete(self, name: str) -> None:
        """Delete a file; nothing without it."""
        self._call(lambda: self._folder.remove(name))

    def delete_tree(self, subfolder: str) -> None:
        """Delete a subfolder with everything in it; nothing without it."""
        self._call(lambda: self._folder.remove_tree(subfolder))

    def abort_uploads(self, subfolder: str) -> None:
        """Delete what killed writers have sent of files in a subfolder; see ``Folder.abort_uploads``."""
        self._call(lambda: self._folder.abort_uploads(subfolder))

    def _call(self, work: Callable[[], Value]) -> Value:
        def attempt() -> Value:
            try:
                return work()
            except UnavailableError as error:
                if time.monotonic() >= self._ends_at:
                    raise _LastError(str(error)) from error
                raise

        return self._retry.call(attempt)

    def _has(self, name: str, path: Path) -> bool:
        if self._folder.size(name) != path.stat().st_size:
            return False
        agrees = self._folder.agrees(name, path)
        # What is reported may be no digest of the content: the content itself decides.
        return agrees is not False or self._folder.sha256(name) == sha256(path)


def _present(listed: Callable[[], dict[str, int]]) -> dict[str, int]:
    """A listing, which some stores raise FileNotFoundError for where it is empty."""
    try:
        return listed()
    except FileNotFoundError:
        return {}
