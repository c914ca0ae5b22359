"""What a disk or a folder refused, in words: the errors of a file system that a user can fix."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import AnimaticError

# Of a disk that is full, a quota that is used up, and a limit on the size of files.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PROBE_BYTES = 1 << 20
_FIXES = {
    errno.ENOSPC: "free space on its disk, then rerun",
    errno.EDQUOT: "free space or raise the quota, then rerun",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), then rerun",
    errno.EMFILE: "raise the limit on open files (ulimit -n), then rerun",
    errno.EROFS: "choose another path",
    errno.EACCES: "change its permissions or choose another path",
    errno.EPERM: "change its permissions or choose another path",
    errno.ENOENT: "check the path, or choose another",
    errno.ENOTDIR: "choose another path: a part of this one is a file",
    errno.EISDIR: "choose another path: this one is a folder",
    errno.EEXIST: "choose another path",
    errno.ELOOP: "its symbolic links lead in a circle; choose another path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EIO: "the disk fails; check it, then rerun",
    errno.ESTALE: "the network file system lost it; mount it again, then rerun",
    errno.ENOTCONN: "mount its file system again, then rerun",
    errno.EHOSTDOWN: "mount its file system again, then rerun",
    errno.EINVAL: "choose another path",
}


def explain(error: OSError) -> str | None:
    """Path, cause and fix in one line; None for an error without a path, or of another kind: a bug."""
    path = error.filename2 or error.filename
    if error.errno not in _FIXES or not isinstance(path, str | bytes | Path):
        return None
    return f"{_text(path)}: {error.strerror}; {_FIXES[error.errno]}"


def real_path(path: Path) -> Path:
    """The path, absolute and without symbolic links. Raises AnimaticError where these lead in a circle."""
    try:
        return path.resolve()
    except RuntimeError as error:
        raise AnimaticError(f"{path}: {_FIXES[errno.ELOOP]}") from error


def usable_folder(folder: Path) -> Path:
    """The folder as an absolute path, created if necessary.

    Raises:
        AnimaticError: it cannot be created, or no file can be created in it.
    """
    import tempfile

    folder = real_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "choose another path")
        raise AnimaticError(f"{folder} cannot be written to: {error.strerror}; {fix}") from error


@contextmanager
def explaining_full_disk(folder: Path, what: str, needed: int, remedy: str) -> Iterator[None]:
    """Raise AnimaticError where writing to a folder failed because its disk, a quota or a limit is exhausted.

    Libraries report that in ways of their own, so the file system is asked. Other errors are not changed.

    Args:
        what: is being written, for the message.
        needed: its bytes; 0 where they are not known.
        remedy: what to do once the disk has room.
    """
    try:
        yield
    except Exception as error:
        # What it has written may have been deleted since, so that a probe would find room.
        is_full = isinstance(error, OSError) and error.errno in NO_ROOM
        refused = OSError(*error.args) if is_full else _refusal(folder, needed)
        if isinstance(error, AnimaticError) or refused is None:
            raise
        wanted = f"it needs {needed / 1e9:.3g} GB, " if needed else ""
        free = shutil.disk_usage(folder).free
        raise AnimaticError(
            f"{what} cannot be written to {folder}: {refused.strerror}; {wanted}{free / 1e9:.3g} GB are "
            f"free; {remedy}"
        ) from error


def _refusal(folder: Path, size: int) -> OSError | None:
    """What the file system answers to another file of this size: that it is full, or that it is too large."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Not of the whole size: without fallocate, as on NFS before 4.2, every block is written.
            os.posix_fallocate(file.fileno(), 0, _PROBE_BYTES)
            os.ftruncate(file.fileno(), max(size, _PROBE_BYTES))
    except OSError as error:
        return error if error.errno in NO_ROOM else None
    full = shutil.disk_usage(folder).free < size
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else None


@contextmanager
def explained() -> Iterator[None]:
    """Raise AnimaticError in place of an OSError that a user can fix."""
    try:
        yield
    except OSError as error:
        reason = explain(error)
        if reason is None or isinstance(error, AnimaticError):
            raise
        raise AnimaticError(reason) from error


def _text(path: str | bytes | Path) -> str:
    return path.decode(errors="replace") if isinstance(path, bytes) else str(path)
