"""Local files: digests, durability, and atomic creation of files and folders.

A file or folder is written under a partial name beside its final one and renamed when its content is on disk,
so that after a crash the final name holds the old content or the new, never a part of it. A writer that is
killed leaves its partial file behind; ``remove_partials`` deletes such files.
"""

import errno
import hashlib
import io
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from core.canonical_json import digest_of

BLOCK = 1 << 26  # bytes, of large files that are read with progress
_MARK = ".part-"
_DIGITS = 8  # that follow it
_NAME_BYTES = 255  # of a file, that file systems allow


def sha256(path: Path) -> str:
    """Digest of a file's content, in hex."""
    with path.open("rb") as file:
        return sha256_of(file)


def sha256_of(file: BinaryIO) -> str:
    """Digest of the content of a file that has just been opened, in hex."""
    # BinaryIO does not declare readinto, which the files of disks and of fsspec have.
    return hashlib.file_digest(cast(io.BufferedIOBase, file), "sha256").hexdigest()


def content_digests(
    paths: Mapping[str, Path], on_progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """By name, the digest of a file's content, or of all names and contents below a folder, in hex.

    Args:
        on_progress: gets (megabytes read, megabytes) of all, after each part of BLOCK bytes of a file.

    Raises:
        OSError: a file cannot be read.
    """
    files = {name: sorted(_files_of(path)) for name, path in paths.items()}
    total, done = sum(file.stat().st_size for each in files.values() for file in each), 0

    def digest(file: Path) -> str:
        nonlocal done
        hashed = hashlib.sha256()
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                hashed.update(block)
                done += len(block)
                if len(block) == BLOCK:
                    on_progress(done // 10**6, total // 10**6)
        return hashed.hexdigest()

    digests = {}
    for name, path in paths.items():
        if path.is_dir():
            listed = [[file.relative_to(path).as_posix(), digest(file)] for file in files[name]]
            digests[name] = digest_of(listed)
        else:
            digests[name] = digest(path)
    return digests


def _files_of(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on disk and survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_folder(path: Path) -> None:
    """Create a folder with its parents, durably; nothing if it exists."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a finished file or folder to ``path`` once all of it is on disk; the rename is durable too.

    A file replaces an existing one; a folder does not replace one that has entries.

    Raises:
        OSError: what the file system raises; ``partial`` then still exists.
    """
    inner = sorted(partial.rglob("*"), reverse=True) if partial.is_dir() else []
    for item in (*inner, partial):
        sync(item)
    partial.replace(path)
    sync(path.parent)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A partial file to write; it replaces ``path``, durably, when the block ends without an error.

    The partial file is in the same folder, which is created if necessary, and has the same suffix. It is
    deleted when the block raises.
    """
    partial = _partial(path)
    try:
        yield partial
        move_into_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def create_file(path: Path, data: bytes) -> None:
    """Create a file that does not exist, atomically and durably; of several writers one succeeds.

    Raises:
        FileExistsError: the file exists.
    """
    partial = _partial(path)
    try:
        partial.write_bytes(data)
        sync(partial)
        os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A partial folder to fill; it becomes ``path``, durably, when the block ends without an error.

    It is deleted when the block raises.

    Raises:
        FileExistsError: where ``path`` exists already, or another process wrote it meanwhile; folders are
            never replaced.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists")
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():  # an empty folder would be replaced
            raise FileExistsError(f"{path} exists")
        try:
            move_into_place(partial, path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and path.exists():
                raise FileExistsError(f"{path} exists") from error
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace the content of a file atomically and durably; creates folders."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_partials(folder: Path, before: Callable[[], None] | None = None) -> None:
    """Delete what killed writers left right under ``folder``. Call it only while nothing writes there.

    Args:
        before: called when it is known what will be deleted, and may raise.
    """
    partials = list(folder.glob(f".*{_MARK}*"))
    if before is not None:
        before()
    _delete(partials)


def remove_partials_of(path: Path) -> None:
    """Delete what killed writers left of this file or folder alone. Call it only while nothing writes it."""
    stem, suffix = (re.escape(part) for part in _partial_ends(path))
    name = re.compile(f"{stem}[0-9a-f]{{{_DIGITS}}}{suffix}")
    _delete([partial for partial in path.parent.iterdir() if name.fullmatch(partial.name)])


def _delete(partials: Sequence[Path]) -> None:
    for partial in partials:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink()


def _partial(path: Path) -> Path:
    """A unique name beside ``path``, hidden, with its suffix: some encoders choose a format by it."""
    create_folder(path.parent)
    start, end = _partial_ends(path)
    return path.with_name(f"{start}{uuid.uuid4().hex[:_DIGITS]}{end}")


def _partial_ends(path: Path) -> tuple[str, str]:
    """What the names of all its partial files begin and end with, around the digits that differ."""
    # The name of the path itself may be as long as file systems allow.
    rest = len(os.fsencode(f".{_MARK}{path.suffix}")) + _DIGITS
    stem = os.fsencode(path.stem)[: _NAME_BYTES - rest]
    return f".{stem.decode(errors='ignore')}{_MARK}", path.suffix
