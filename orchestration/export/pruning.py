"""Removing exports that no pointer names any more."""

from __future__ import annotations

from core.lock import exclusive_lock
from orchestration.export.location import Location
from orchestration.export.marks import is_being_written
from orchestration.export.records import MANIFEST, UnreadableDocumentError


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
            # In this order: an export writes its pointer before it removes its mark.
            if not is_being_written(location, folder) and folder not in _named(location):
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


def _remove(location: Location, folder: str) -> None:
    """Without its manifest first, so that nothing continues it while it goes."""
    location.call(lambda: location.folder.remove(f"{folder}/{MANIFEST}"))
    location.call(lambda: location.folder.remove_tree(folder))
