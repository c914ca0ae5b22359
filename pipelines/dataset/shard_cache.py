"""Shards as local files that match their digests: checked on first use, fetched if they are remote.

A damaged tar can seem whole to a reader of one member, or even of all of them: only its digest is proof. A
node checks a shard once, however many processes read it, and again only if the file changes. Remote shards
are fetched whole into a folder of limited size that the processes of a node share.
"""

import builtins
import contextlib
import errno
import hashlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from core.disk_errors import usable_folder
from core.errors import AnimaticError, TemporaryError
from core.files import sha256
from core.lock import file_lock
from core.retry import RetryPolicy
from core.storage import Folder, StoreError, UnavailableError
from pipelines.dataset.bounded_folder import BoundedFolder
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.changed import require_current_shard
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.shard_list import ShardList

log = logging.getLogger(__name__)

_PAUSE_S, _MOST_PAUSE_S = 1.0, 30.0
_SETTINGS = "set data.cache.folder or ANIMATIC_CACHE to another folder"
_USE_RESOLUTION_S = 60.0  # how exactly the last use of a file is known

_State = tuple[int, int, int]


class ShardFiles:
    """The shards of one dataset; safe to share between threads."""

    def __init__(self, folder: Folder, shards: Sequence[ShardRecord], cache: CacheConfig) -> None:
        """``shards``: name, sha256 and bytes of each.

        Raises AnimaticError if one alone fills the cache, or remote ones have no cache to be fetched to.
        """
        self._folder, self._shards = folder, ShardList(shards)
        self._fetched = BoundedFolder(cache.path / "shards", int(cache.gigabytes * 1e9))
        self._checked = cache.path / "checked"
        self._patience_s = cache.patience_s
        self._ready: dict[str, Path] = {}
        self._states: dict[Path, _State] = {}
        self._used: dict[str, float] = {}
        largest = int(self._shards.bytes.max(initial=0))
        if folder.local_path is None and largest > self._fetched.limit:
            raise AnimaticError(
                f"a shard of {folder} has {largest / 1e9:.2f} GB, the cache may hold {cache.gigabytes:g} GB: "
                "raise data.cache.gigabytes"
            )
        if self.remote:
            _require_cache(self._fetched.folder)

    @property
    def remote(self) -> bool:
        """Whether shards are fetched."""
        return self._folder.local_path is None

    @property
    def bytes(self) -> int:
        """Of all shards together."""
        return int(self._shards.bytes.sum())

    def read(self, shard: str, offset: int, size: int) -> builtins.bytes:
        """Bytes of a shard.

        Raises AnimaticError if it is damaged, FileNotFoundError if it is missing, and TemporaryError if the
        store does not answer for long.
        """
        while True:
            path = self._ready.get(shard) or self._prepared(shard)
            try:
                with path.open("rb", buffering=0) as file:
                    if self.remote or _state(os.fstat(file.fileno())) == self._states[path]:
                        self._note_use(shard, path)
                        return os.pread(file.fileno(), size, offset)
                    self._ready.pop(shard, None)  # the file was replaced since it was checked
            except FileNotFoundError:
                if not self.remote:
                    raise
                self._ready.pop(shard, None)  # another process needed its space

    def prepare(self, number: int) -> None:
        """Check or fetch the ``number``-th shard for a later read, which raises what fails here."""
        shard = self._shards[number]["name"]
        path = self._ready.get(shard)
        if path is None or not path.exists():
            with contextlib.suppress(AnimaticError, OSError):
                self._prepared(shard)

    def _prepared(self, name: str) -> Path:
        shard, local = self._shards.named(name), self._folder.local_path
        path = self._fetch(shard) if local is None else self._checked_local(local / name, shard)
        self._ready[name] = path
        return path

    def _checked_local(self, path: Path, shard: ShardRecord) -> Path:
        """A local shard, checked unless that was done before."""
        state = _state(path.stat())
        known = f"{path.resolve()}\n{' '.join(map(str, state))} {shard['sha256']}"
        name = hashlib.sha256(known.encode()).hexdigest()
        mark = self._checked / name
        with contextlib.ExitStack() as held:
            try:
                if mark.exists():
                    self._states[path] = state
                    return path
                held.enter_context(file_lock(mark.with_suffix(".lock")))
                known_now = mark.exists()
            except OSError as error:
                # The shard itself is at hand. Without a cache, every process checks it.
                log.info("checked shards are not remembered: %s", error)
                known_now = False
            if not known_now:
                self._check(path, shard)
                with contextlib.suppress(OSError):
                    mark.touch()
        self._states[path] = state
        return path

    def _fetch(self, shard: ShardRecord) -> Path:
        path = self._fetched.folder / shard["sha256"]
        try:
            with file_lock(path.with_suffix(".lock")):
                if not path.exists():
                    part = path.with_suffix(".part")
                    with self._fetched.reserved(part, shard["bytes"]):
                        self._download(shard["name"], part)
                        self._check(part, shard)
                        self._fetched.keep(part, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            if isinstance(error, AnimaticError):
                raise
            raise _cache_error(self._fetched.folder, error) from error
        return path

    def _download(self, shard: str, part: Path) -> None:
        retry = RetryPolicy(
            None,
            _PAUSE_S,
            jitter=True,
            on=(UnavailableError,),
            most_pause_s=_MOST_PAUSE_S,
            patience_s=self._patience_s,
        )
        try:
            retry.call(lambda: self._folder.fetch(shard, part))
        except UnavailableError as error:
            # No other sample replaces it: the batches of a run must not depend on the network.
            raise TemporaryError(
                f"{self._folder}/{shard} cannot be fetched ({error}), tried for {self._patience_s:g} s "
                "(data.cache.patience_s); resume when the store answers"
            ) from error
        except StoreError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise _cache_error(self._fetched.folder, cause) from error
            raise

    def _check(self, path: Path, shard: ShardRecord) -> None:
        name, size, expected = f"{self._folder}/{shard['name']}", path.stat().st_size, shard["sha256"]
        remedy = f"restore the file, or run `animatic verify {self._folder}`"
        found = sha256(path) if size == shard["bytes"] else None
        if found == expected:
            return
        require_current_shard(self._folder, shard)
        if found is None:
            raise AnimaticError(f"shard {name} has {size} bytes, not {shard['bytes']}: {remedy}")
        raise AnimaticError(
            f"shard {name} is damaged: its sha256 is {found[:12]}…, not {expected[:12]}…: {remedy}"
        )

    def _note_use(self, shard: str, path: Path) -> None:
        now = time.monotonic()
        if self.remote and now - self._used.get(shard, -_USE_RESOLUTION_S) >= _USE_RESOLUTION_S:
            self._used[shard] = now
            os.utime(path, ns=(time.time_ns(),) * 2)  # finer than the file system's own clock


def _state(stat: os.stat_result) -> _State:
    """What changes when a file is replaced: inode, size, time of the last change."""
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _require_cache(folder: Path) -> None:
    try:
        usable_folder(folder)
    except AnimaticError as error:
        raise AnimaticError(f"the cache for fetched shards: {error} ({_SETTINGS})") from error


def _cache_error(folder: Path, error: OSError) -> AnimaticError:
    return AnimaticError(f"the cache {folder} for fetched shards: {error.strerror or error}; {_SETTINGS}")
