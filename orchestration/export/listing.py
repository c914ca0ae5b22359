"""What a location contains: every pointer, and whether what it names is whole."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.export.location import Location
from orchestration.export.records import MANIFEST, Pointer, UnreadableDocumentError, pointer_file


@dataclass(frozen=True)
class ListedExport:
    """A pointer (None if it cannot be read), and what is wrong with it or its export, one line each."""

    name: str
    pointer: Pointer | None
    problems: list[str]


def list_exports(location: Location, *, deep: bool = False) -> list[ListedExport]:
    """The pointers of a location by name, checked.

    Args:
        deep: whether to read every byte of what they name; sizes are compared otherwise.

    Raises:
        StoreError: the location cannot be read.
    """
    return [_listed(location, name, deep=deep) for name in location.names()]


def _listed(location: Location, name: str, *, deep: bool) -> ListedExport:
    try:
        pointer = location.pointer(name)
    except UnreadableDocumentError as error:
        return ListedExport(name, None, [str(error)])
    if pointer is None:
        return ListedExport(name, None, [f"{location.path(pointer_file(name))} was removed meanwhile"])
    manifest = f"{location.path(pointer.export)}/{MANIFEST}"
    try:
        export = location.stored(pointer.export)
    except UnreadableDocumentError as error:
        return ListedExport(name, pointer, [str(error)])
    if export is None:
        return ListedExport(name, pointer, [f"{manifest} is missing"])
    if export.digest != pointer.manifest:
        return ListedExport(name, pointer, [f"{manifest} does not match the digest in {pointer_file(name)}"])
    if export.manifest.bundle_id != pointer.bundle_id:
        problem = f"{location.path(pointer_file(name))} names another bundle than {manifest}: export it again"
        return ListedExport(name, pointer, [problem])
    return ListedExport(name, pointer, location.problems(export, deep=deep))
