"""Tables as files on this node's disk that match their digests: compared once on each node."""

import contextlib
import hashlib
import io
import logging
import os
from pathlib import Path

from core.files import atomic_file, sha256
from core.lock import file_lock
from core.storage import Folder

log = logging.getLogger(__name__)


def stored_table(folder: Folder, name: str, digest: str, cache: Path) -> Path | io.BytesIO:
    """A file of a folder: itself, or a copy of a remote one under ``cache``, which every node fetches once.

    The first process of a node compares the digest, and the others wait for it. Where the cache cannot be
    used, every process does, and holds a remote file in memory.

    Raises OSError, also if the file's sha256 is not ``digest``.
    """
    if folder.local_path is not None:
        return _checked(folder.local_path / name, digest, cache / "checked")
    copy = cache / "tables" / f"{digest}.parquet"
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("%s/%s is read into memory, its cache cannot be used: %s", folder, name, error)
        data = folder.read(name)
        require_digest(hashlib.sha256(data).hexdigest(), digest)
        return io.BytesIO(data)
    with file_lock(copy.with_suffix(".lock")):
        if not copy.exists():
            with atomic_file(copy) as part:
                folder.fetch(name, part)
                require_digest(sha256(part), digest)
    os.utime(copy)  # the folder is cleared by age
    return copy


def require_digest(found: str, digest: str) -> None:
    """Raise OSError if a sha256 is not the recorded one."""
    if found != digest:
        raise OSError(f"it is damaged: its sha256 is {found[:12]}…, not {digest[:12]}…")


def _checked(path: Path, digest: str, checked: Path) -> Path:
    """A local file, compared unless that was done in its present state."""
    state = path.stat()
    known = f"{path.resolve()}\n{state.st_size} {state.st_mtime_ns} {state.st_ino} {digest}"
    mark = checked / hashlib.sha256(known.encode()).hexdigest()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(mark.with_suffix(".lock")))
            is_known = mark.exists()
        except OSError as error:
            log.info("checked tables are not remembered: %s", error)
            is_known = False
        if not is_known:
            require_digest(sha256(path), digest)
            with contextlib.suppress(OSError):
                mark.touch()
    return path
