"""Pictures and clips of jobs in a folder or object store: each object is whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from core.files import atomic_file, sha256
from core.lock import file_lock
from core.storage import Folder, StoreError, UnavailableError
from orchestration.serving.jobs import Clip, Job, JobStore, StorageFullError, StoredPicture

_PICTURES, _CLIPS = "pictures", "clips"
# Pictures are stored before their jobs are: younger ones may belong to a request that is being accepted.
_UNCLAIMED_S = 3600.0
_CACHED_CLIPS = 64
_FULL, _FULL_S = (errno.ENOSPC, errno.EDQUOT), 60.0


class StoredFile(NamedTuple):
    """An object of the store."""

    name: str
    sha256: str
    bytes: int


class Results:
    """The objects of all jobs.

    Methods raise :class:`core.storage.StoreError` where the store does not answer.

    Names are made here, of a job's id or at random: never of what a client sent.
    """

    def __init__(self, url: str | Path, cache: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Args:
        url: a local folder or an fsspec URL.
        cache: local folder for clips of a remote store while they are being sent.
        """
        self._folder, self._cache, self._clock = Folder(url), cache, clock

    def __str__(self) -> str:
        return str(self._folder)

    def put_picture(self, content: bytes, width: int, height: int) -> StoredPicture:
        """Store a picture as it came. Raises StorageFullError."""
        name = f"{_PICTURES}/{int(self._clock())}-{secrets.token_hex(16)}"
        try:
            self._folder.write(name, content)
        except StoreError as error:
            if not _is_full(error):
                raise
            raise StorageFullError("the results store is full: try again later", _FULL_S) from error
        digest = hashlib.sha256(content).hexdigest()
        return StoredPicture(name=name, sha256=digest, bytes=len(content), width=width, height=height)

    def put(self, name: str, file: Path) -> StoredFile:
        """Store a clip under a name that its job and attempt have alone; atomically.

        Raises UnavailableError where the disk is full, which may pass: clips expire, and operators make room.
        """
        stored = StoredFile(f"{_CLIPS}/{name}", sha256(file), file.stat().st_size)
        try:
            self._folder.store(stored.name, file)
        except StoreError as error:
            if not _is_full(error):
                raise
            raise UnavailableError(f"the results store is full: {error}") from error
        return stored

    def read(self, name: str) -> bytes:
        """The content of an object. Raises FileNotFoundError if there is none."""
        return self._folder.read(name)

    def local(self, clip: Clip) -> Path:
        """A local file with a clip: the stored one, or a copy that stays for a while.

        Raises FileNotFoundError if it was removed, StoreError if it is damaged.
        """
        folder = self._folder.local_path
        if folder is not None:
            path = folder / clip.name
            if path.stat().st_size != clip.bytes:
                raise StoreError(f"{self._folder}/{clip.name} is damaged: it has not {clip.bytes} bytes")
            return path
        path = self._cached(clip.name)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # used again: among the last to be removed
            return path
        self._trim_cache()
        with file_lock(self._cache / f".{clip.sha256[0]}.lock"):  # requests for one clip fetch it once
            if not path.is_file():
                self._fetch(clip, path)
        return path

    def remove(self, name: str) -> None:
        """Remove an object; nothing if there is none."""
        self._folder.remove(name)
        self._cached(name).unlink(missing_ok=True)

    def remove_job(self, job: Job) -> None:
        """Remove all objects of a job."""
        self._remove_all(job.objects)

    def remove_spent(self, store: JobStore) -> None:
        """Remove what no job needs any more. Raises JobStoreError too.

        What a killed process has not removed, :meth:`remove_unknown` finds.
        """
        self._remove_all(store.spent_objects())

    def remove_unknown(self, store: JobStore) -> None:
        """Remove objects that belong to no job: of requests that were never accepted, of attempts that were
        lost, and of killed processes. Raises JobStoreError too."""
        # Listed before the jobs are read: whatever is listed and wanted is known by then.
        pictures, clips = self._folder.names(_PICTURES), self._folder.names(_CLIPS)
        known, active = store.known_objects()
        oldest = self._clock() - _UNCLAIMED_S
        unclaimed = [f"{_PICTURES}/{name}" for name in pictures if _time_of(name) < oldest]
        ended = [f"{_CLIPS}/{name}" for name in clips if _job_of(name) not in active]
        self._remove_all(set(unclaimed + ended) - known)

    def _remove_all(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            self.remove(name)

    def _fetch(self, clip: Clip, path: Path) -> None:
        with atomic_file(path) as partial:
            self._folder.fetch(clip.name, partial)
            if sha256(partial) != clip.sha256:
                raise StoreError(f"{self._folder}/{clip.name} is damaged: it does not match its sha256")

    def _cached(self, name: str) -> Path:
        return self._cache / PurePosixPath(name).name

    def _trim_cache(self) -> None:
        """Let the newest ones stay; one that is being sent stays readable until it is closed."""
        ages = []
        for path in self._cache.glob("[!.]*"):
            with contextlib.suppress(FileNotFoundError):  # another process trims too
                ages.append((path.stat().st_mtime, path))
        for _, path in sorted(ages)[: -_CACHED_CLIPS + 1]:
            path.unlink(missing_ok=True)


# A file that is still being written has the name of its object with a dot before it: see core.files.


def _is_full(error: StoreError) -> bool:
    return getattr(error.__cause__, "errno", None) in _FULL


def _time_of(picture: str) -> float:
    seconds = picture.lstrip(".").partition("-")[0]
    return float(seconds) if seconds.isdigit() else 0.0


def _job_of(clip: str) -> str:
    return clip.lstrip(".").partition("-")[0]
