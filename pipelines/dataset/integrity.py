"""Files compared with their recorded digests."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from core.storage import Folder
from pipelines.dataset.hashing_reader import HashingReader


def digest_problems(
    folder: Folder, digests: Mapping[str, str], threads: int | None = None
) -> Iterator[list[str]]:
    """For each file (name to sha256) what is wrong with it: nothing, or one line. ``threads`` read."""
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda name: _problems(folder, name, digests[name]), digests)


def mismatch(name: str, what: str, found: object, expected: object) -> list[str]:
    """One line if two values differ that should not."""
    return [] if found == expected else [f"{name}: {what} is {found}, not {expected}"]


def digest_mismatch(name: str, found: str, expected: str) -> list[str]:
    """One line if a sha256 is not the recorded one."""
    return mismatch(name, "sha256", found[:12] + "…", expected[:12] + "…")


def unexpected(present: set[str], expected: set[str], owner: str) -> list[str]:
    """A line for each name that does not belong to ``owner``."""
    return [f"{name}: not part of the {owner}" for name in sorted(present - expected)]


def _problems(folder: Folder, name: str, digest: str) -> list[str]:
    try:
        with folder.open(name) as file:
            reader = HashingReader(file)
            reader.exhaust()
    except FileNotFoundError:
        return [f"{name}: missing"]
    return digest_mismatch(name, reader.sha256, digest)
