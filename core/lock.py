"""One writer at a time: a claim on a folder that ends with its process."""

import contextlib
import fcntl
from collections.abc import Iterator

from core.errors import AnimaticError
from core.storage import Folder


@contextlib.contextmanager
def exclusive_lock(folder: Folder, job: str) -> Iterator[None]:
    """Keep a second ``job`` on this machine out of the folder, and remove what killed ones left.

    Does nothing for an object store. Raises AnimaticError if the folder is exclusive_lock.
    """
    path = folder.local_path
    if path is None:
        yield
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnimaticError(f"there can be no folder {folder}: {error.strerror}") from error
    with (path / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            other = lock.read() or job
            raise AnimaticError(f"another {other} is writing to {folder}; wait for it or stop it") from error
        lock.truncate(0)
        lock.write(job)
        lock.flush()
        folder.remove_leftovers()
        yield
        folder.remove_leftovers()
