"""Removing exports that no pointer names any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ValidationError

from core.lock import exclusive_lock
from orchestration.export.location import MARK, Location
from orchestration.export.records import MANIFEST, UnreadableDocumentError

# A mark that is older was left by a process that was killed: no export takes so long.
_LONGEST_EXPORT = timedelta(hours=24)


class _Mark(BaseModel):
    time: AwareDatetime


def prune(location: Location, keep: int) -> list[str]:
    """Remove all exports that no pointer names, but for the ``keep`` newest and those being written.

    Returns:
        The folders of those that were removed, relative to the location.

    Raises:
        UnreadableDocumentError: a pointer cannot be read: nothing is removed then.
        LockedError: another export is writing to a local location.
    """
    with exclusive_lock(location.folder, "export"):
        unnamed = set(location.exports()) - _named(location)
        oldest_first = sorted(unnamed, key=lambda folder: _created(location, folder))
        removed = []
        for folder in oldest_first[: max(0, len(unnamed) - keep)]:
            if folder not in _named(location) and not _is_being_written(location, folder):
                _remove(location, folder)
                removed.append(folder)
        return removed


def _named(location: Location) -> set[str]:
    pointers = (location.pointer(name) for name in location.names())
    return {pointer.export for pointer in pointers if pointer is not None}


def _created(location: Location, folder: str) -> str:
    """When an export was planned; "", which is before all others, without a readable manifest."""
    try:
        found = location.stored(folder)
    except UnreadableDocumentError:
        return ""
    return "" if found is None else found.manifest.created


def _is_being_written(location: Location, folder: str) -> bool:
    names = location.call(lambda: location.folder.tree(folder))
    return any(_is_fresh(location, f"{folder}/{name}") for name in names if name.startswith(MARK))


def _is_fresh(location: Location, mark: str) -> bool:
    content = location.read(mark)
    if content is None:
        return False
    try:
        return datetime.now(UTC) - _Mark.model_validate_json(content).time < _LONGEST_EXPORT
    except ValidationError:
        return True  # not of this version


def _remove(location: Location, folder: str) -> None:
    """Without its manifest first, so that nothing continues it while it goes."""
    location.call(lambda: location.folder.remove(f"{folder}/{MANIFEST}"))
    location.call(lambda: location.folder.remove_tree(folder))
