"""The folder of a bundle that a command derives from another one."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.disk_errors import explaining_full_disk, usable_folder
from core.files import remove_partials_of
from core.lock import named_lock
from models.bundle import check_new


@contextmanager
def new_bundle(folder: Path, job: str, size: int) -> Iterator[None]:
    """Keep other commands of this machine from writing this bundle, and delete what killed ones left of it.

    All that can be refused is refused here, before the work of the block.

    Args:
        job: named in the error of the next one, as "merge".
        size: bytes of the bundle.

    Raises:
        AnimaticError: the folder exists, another command writes it, or its disk has no room.
    """
    check_new(folder)
    parent = usable_folder(folder.parent)
    lock = parent / f".{folder.name}.lock"
    remedy = "free space, then rerun the same command"
    with (
        named_lock(lock, job, folder=folder),
        explaining_full_disk(parent, "the bundle", size, remedy),
    ):
        check_new(folder)  # another command may have written it meanwhile
        remove_partials_of(parent / folder.name)
        if shutil.disk_usage(parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield
