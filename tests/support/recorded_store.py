"""An object store in memory that records its writes and can stop at any of them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.recorded_files import CrashError


class RecordedStore(MemoryFileSystem):
    """Objects below ``recorded://``; use it through :func:`recorded_store`.

    Attributes:
        calls: as "put a" and "remove a", in order; paths without the leading slash.
        crash_at: the number of the call that is not done, and nothing after it, because the machine stops.
    """

    protocol = "recorded"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls: ClassVar[list[str]] = []
    crash_at: ClassVar[int | None] = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("recorded://")))

    def put_file(self, lpath: str, rpath: str, *arguments: Any, **options: Any) -> None:
        """Store a local file."""
        self._record("put", rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def rm_file(self, path: str) -> None:
        """Delete an object."""
        if self.exists(path):
            self._record("remove", path)
        super().rm_file(path)

    def _open(self, path: str, mode: str = "rb", *arguments: Any, **options: Any) -> Any:
        if mode != "rb" and "data" not in options:
            raise NotImplementedError("an object that is written in parts is visible before it is complete")
        return super()._open(path, mode, *arguments, **options)

    def _record(self, kind: str, path: str) -> None:
        if self.crash_at is not None and len(self.calls) >= self.crash_at:
            raise CrashError
        self.calls.append(f"{kind} {self._strip_protocol(path).lstrip('/')}")


@contextlib.contextmanager
def recorded_store(crash_at: int | None = None) -> Iterator[list[str]]:
    """The calls made in this block."""
    fsspec.register_implementation("recorded", RecordedStore, clobber=True)
    RecordedStore.calls.clear()
    RecordedStore.crash_at = crash_at
    try:
        yield RecordedStore.calls
    finally:
        RecordedStore.crash_at = None


def empty_store() -> None:
    """Delete every object."""
    RecordedStore.store.clear()
