"""Files compared with the digests that were noted when they were made."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from core.storage import Folder

_BLOCK = 1 << 20


def altered(folder: Folder, digests: Mapping[str, str], threads: int | None = None) -> Iterator[list[str]]:
    """For each file in turn, by name, what is wrong with it: nothing, or one line. ``threads`` read."""
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda name: _altered(folder, name, digests[name]), digests)


def _altered(folder: Folder, name: str, digest: str) -> list[str]:
    hashed = hashlib.sha256()
    try:
        with folder.open(name) as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
    except FileNotFoundError:
        return [f"{name}: missing"]
    return compared(name, "sha256", hashed.hexdigest()[:12] + "…", digest[:12] + "…")


def compared(name: str, what: str, found: object, expected: object) -> list[str]:
    """One line if two values differ that should not."""
    return [] if found == expected else [f"{name}: {what} is {found}, not {expected}"]
