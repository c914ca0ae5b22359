"""A folder of limited size that several processes fill, as a cache on a node."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from core.files import move_into_place, sync
from core.lock import file_lock, is_locked

_POLL_S = 0.2


class BoundedFolder:
    """A folder of files that together take no more than ``limit`` bytes; the longest unused are deleted
    first.

    A file that is being written counts with its full size. The modification time of a file is that of its
    last use.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    @contextlib.contextmanager
    def reserved(self, part: Path, size: int) -> Iterator[None]:
        """Reserve ``size`` bytes for the partial file ``part``, which the caller has locked.

        Waits while other partial files take all the space. ``part`` is deleted afterwards if it still exists.
        """
        while not self._reserve(part, size):
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            with self._counting():
                part.unlink(missing_ok=True)

    def keep(self, part: Path, path: Path) -> None:
        """Rename the partial file ``part``, which is complete, to ``path``."""
        sync(part)  # before the lock is taken: it takes a while, and others wait for the lock
        with self._counting():
            move_into_place(part, path)

    def _counting(self) -> contextlib.AbstractContextManager[None]:
        """The lock under which files are counted, deleted and renamed."""
        return file_lock(self.folder / "room.lock")

    def _reserve(self, part: Path, size: int) -> bool:
        with self._counting():
            part.unlink(missing_ok=True)
            files = [p for p in self.folder.iterdir() if p.suffix in ("", ".part")]
            states = {path: path.stat() for path in files}
            taken = sum(state.st_size for state in states.values())
            for path in sorted(states, key=lambda path: states[path].st_mtime_ns):
                if taken + size <= self.limit:
                    break
                # A partial file is locked, unless the process that wrote it was killed.
                if path.suffix != ".part" or not is_locked(path.with_suffix(".lock")):
                    path.unlink(missing_ok=True)
                    taken -= states[path].st_size
            if taken + size > self.limit:
                return False
            with part.open("wb") as file:
                file.truncate(size)
            return True
