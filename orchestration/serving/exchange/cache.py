"""The local folder that exports are fetched to: what no replica needs any more is removed."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from core.errors import last_line
from core.lock import file_lock
from orchestration.serving.jobs import JobStore, JobStoreError

_log = logging.getLogger(__name__)
# A younger one may be what another replica is fetching, and has not reported yet.
_LEAST_AGE_S = 3600.0


def remove_unused(cache: Path, store: JobStore) -> None:
    """Remove fetched exports that no replica serves, served or is to serve, and that are not new."""
    if not cache.is_dir():
        return
    old = [each for each in cache.iterdir() if _is_old(each)]
    if not old:
        return
    try:
        statuses = [status for replica in store.replicas() for status in replica.models]
        holds = store.holds()
    except JobStoreError as error:
        _log.warning("%s is not tidied up: %s", cache, last_line(error))
        return
    needed = {hold.serve for hold in holds} | {hold.manifest for hold in holds}
    for status in statuses:
        serving = None if status.serving is None else status.serving.manifest
        needed |= {each for each in (serving, status.former, status.desired) if each is not None}
    suffixes = tuple(manifest[:8] for manifest in needed)
    for folder in old:
        if not folder.name.endswith(suffixes):
            with file_lock(folder.with_name(f".{folder.name}.lock")):
                # Another replica may have begun to use it, or has removed it.
                if _is_old(folder):
                    shutil.rmtree(folder)


def _is_old(folder: Path) -> bool:
    try:
        return folder.is_dir() and time.time() - folder.stat().st_mtime > _LEAST_AGE_S
    except FileNotFoundError:
        return False
