"""Locks between processes and threads of one machine; each ends with the process that holds it.

A lock is a file that stays where it is: deleting it would let two holders lock two files of one name.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from core.errors import AnimaticError
from core.storage import LOCK, Folder


class LockedError(AnimaticError):
    """A lock that another process or thread holds."""


@contextlib.contextmanager
def file_lock(path: Path, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock ``path``, whose folder is created if necessary; wait until it is free.

    Args:
        timeout_s: the longest wait in seconds; 0 does not wait, None waits without limit.

    Raises:
        LockedError: where the lock is held for longer.
        OSError: where the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=-1 if timeout_s is None else timeout_s, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        after = f" after {timeout_s:g} s" if timeout_s else ""
        raise LockedError(f"another process still holds {path}{after}; try again later") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process or thread holds the lock ``path`` now. Creates the file, as taking the lock does."""
    try:
        with file_lock(path, timeout_s=0):
            return False
    except LockedError:
        return True


@contextlib.contextmanager
def named_lock(path: Path, job: str, timeout_s: float = 0, folder: Path | None = None) -> Iterator[None]:
    """Hold the lock ``path`` of a ``folder``, by default the one that it is in, and record in it who does.

    Raises:
        LockedError: where another job holds it for longer than ``timeout_s`` seconds; the message names it.
        OSError: where the file cannot be created.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(file_lock(path, timeout_s))
        except LockedError as error:
            raise LockedError(
                f"another {_holder(path)} is writing to {folder or path.parent}; wait for it or stop it"
            ) from error
        path.write_text(f"{job} (process {os.getpid()} on {socket.gethostname()})")
        yield


def _holder(path: Path) -> str:
    """Who holds a named lock, as recorded; "job" where the record still is that of a process which ended."""
    recorded = path.read_text(errors="replace")
    match = re.fullmatch(r".* \(process (\d+) on (.*)\)", recorded, re.DOTALL)
    if match is None or (match[2] == socket.gethostname() and not Path(f"/proc/{match[1]}").exists()):
        return "job"
    return recorded


@contextlib.contextmanager
def exclusive_lock(folder: Folder, job: str) -> Iterator[None]:
    """Keep other jobs on this machine from writing to a folder, and delete what killed ones left in it.

    Does nothing for an object store.

    Args:
        job: named in the error of the next one, as "ingest".

    Raises:
        LockedError: where another job is writing to the folder; the message names it.
        AnimaticError: where the folder cannot be created.
    """
    path = folder.local_path
    if path is None:
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(named_lock(path / LOCK, job))
        except OSError as error:
            raise AnimaticError(f"{folder} cannot be created: {error.strerror}") from error
        folder.remove_leftovers()
        yield
        folder.remove_leftovers()
