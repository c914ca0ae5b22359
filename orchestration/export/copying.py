"""Copying an export: what arrived intact is not copied again, and every byte is read back from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import AnimaticError
from core.files import sha256
from core.storage import StoreError
from orchestration.export.location import Location, StoredExport
from orchestration.export.records import MANIFEST, ExportedFile
from orchestration.export.sources import Sources, is_document


@dataclass(frozen=True)
class Copied:
    """Files that were copied, by name, and how many were at the location already; ``bytes`` of the former."""

    names: tuple[str, ...]
    bytes: int
    kept: int


def copy_export(
    location: Location, export: StoredExport, sources: Sources, on_progress: Callable[[str], None]
) -> Copied:
    """Bring every file of an export to the location and verify it there.

    The documents come first and the manifest follows them: with it an export that is interrupted later can be
    continued. What it describes then takes the time.

    Raises:
        AnimaticError: a source was changed meanwhile, or the store returns other bytes than were written.
        StoreError: the location cannot be written to.
    """
    files = export.manifest.files
    documents = [name for name in sorted(files) if is_document(name)]
    copied = [name for name in documents if _copy(location, export, name, sources, on_progress)]
    if location.read(f"{export.folder}/{MANIFEST}") != export.manifest.encoded():
        write(location, f"{export.folder}/{MANIFEST}", export.manifest.encoded())
    rest = [name for name in sorted(files) if name not in documents]
    copied += [name for name in rest if _copy(location, export, name, sources, on_progress)]
    size = sum(files[name].bytes for name in copied)
    return Copied(tuple(copied), size, len(files) - len(copied))


def write(location: Location, name: str, content: bytes) -> None:
    """Create or replace a small file, atomically. Raises StoreError as :func:`copy_export`."""
    try:
        location.call(lambda: location.folder.write(name, content))
    except FileNotFoundError as error:
        raise _no_bucket(location) from error


def _copy(
    location: Location,
    export: StoredExport,
    name: str,
    sources: Sources,
    on_progress: Callable[[str], None],
) -> bool:
    """Whether a file had to be copied; it is at the location, intact, in any case."""
    file, target = export.manifest.files[name], f"{export.folder}/{name}"
    if _is_intact(location, target, file, on_progress):
        return False
    source = sources.path(name)
    on_progress(f"copying {name}, {_size(file)}")
    try:
        location.call(lambda: location.folder.store(target, source))
    except FileNotFoundError as error:
        if not source.is_file():
            raise AnimaticError(
                f"{source} was removed while it was exported: restore it, then rerun"
            ) from error
        raise _no_bucket(location) from error
    if _is_intact(location, target, file, on_progress):
        return True
    if sha256(source) != file.sha256:
        raise AnimaticError(
            f"{source} was changed while it was exported: restore it, or rerun to export what it is now"
        )
    raise AnimaticError(
        f"{location.path(target)} does not contain what was written: check its disk or store, then rerun"
    )


def _is_intact(
    location: Location, target: str, file: ExportedFile, on_progress: Callable[[str], None]
) -> bool:
    if location.call(lambda: location.folder.size(target)) != file.bytes:
        return False
    on_progress(f"reading back {target.rpartition('/')[2]}, {_size(file)}")
    try:
        return location.digest(target) == file.sha256
    except FileNotFoundError:
        return False


def _size(file: ExportedFile) -> str:
    return f"{file.bytes / 1e6:.0f} MB"


def _no_bucket(location: Location) -> StoreError:
    return StoreError(f"{location} cannot be written to: no such bucket; create it, or name another")
