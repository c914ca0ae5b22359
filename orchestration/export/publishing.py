"""An export from its first file to its pointer: copied, verified where it is, then made visible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import AnimaticError
from core.files import remove_partials
from core.lock import exclusive_lock
from models.bundle import Bundle
from orchestration.export.contents import Subject
from orchestration.export.copying import Copied, copy_export, write
from orchestration.export.formats import FORMATS
from orchestration.export.location import Location, StoredExport
from orchestration.export.marks import marked
from orchestration.export.planning import plan_export
from orchestration.export.records import Pointer, pointer_file
from orchestration.export.sources import Sources


@dataclass(frozen=True)
class Request:
    """What is to be exported, and where to.

    Attributes:
        name: of the pointer.
        alias: that the bundle was named by; None if by folder or id.
        check: raises AnimaticError where the bundle must not be exported any more: asked just before the
            pointer is written.
        on_progress: gets what is being done, in a few words.
    """

    subject: Subject
    location: Location
    name: str
    alias: str | None = None
    check: Callable[[], None] = lambda: None
    on_progress: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class Published:
    """A visible export. ``changed``: its pointer was written now, or else it named this export before."""

    pointer: Pointer
    export: StoredExport
    copied: Copied
    changed: bool


def publish(request: Request) -> Published:
    """Copy, verify at the location, and write the pointer last.

    Interrupted at any point, the pointer names what it named before, and the next call continues. A finished
    export is verified again and not copied.

    Raises:
        AnimaticError: the location cannot be written to, or is inside of the bundle; another export is at
            work in a local one; the pointer is of another preset; the bundle lacks a part of a format; it was
            changed meanwhile; ``check`` refuses; or another export moved the pointer first.
    """
    location, subject = request.location, request.subject
    _check_location(location, subject.bundle)
    for name in subject.formats:
        if name in FORMATS:
            FORMATS[name].check(subject)
    _pointer(request)
    with exclusive_lock(location.folder, "export"), location.folder.scratch() as scratch:
        _remove_partials(location)
        before = _pointer(request)
        sources = Sources(subject, scratch, request.on_progress)
        export = plan_export(subject, location, sources, None if before is None else before.export)
        with marked(location, export.folder):
            copied = copy_export(location, export, sources, request.on_progress)
            problems = location.problems(export, deep=False)
            if problems:
                raise AnimaticError(f"{problems[0]}: it was removed while it was exported; rerun")
            request.check()
            pointer, changed = _point(request, export, before)
    return Published(pointer, export, copied, changed)


def _check_location(location: Location, bundle: Bundle) -> None:
    location.check_writable_kind()
    path = location.folder.local_path
    if path is None:
        return
    if path.resolve().is_relative_to(bundle.folder.resolve()):
        raise AnimaticError(f"{location} is inside of the bundle that is exported: name another folder")
    if path.exists() and not path.is_dir():
        raise AnimaticError(f"{location} is a file: name a folder")


def _pointer(request: Request) -> Pointer | None:
    """The present pointer; refuses one of another preset, and a file that is none."""
    pointer, preset = request.location.pointer(request.name), request.subject.bundle.info.preset
    if pointer is not None and pointer.preset != preset:
        raise AnimaticError(
            f"{request.location.path(pointer_file(request.name))} is of preset {pointer.preset}, and "
            f"the bundle is of preset {preset}: choose another --name, or another location"
        )
    return pointer


def _point(request: Request, export: StoredExport, before: Pointer | None) -> tuple[Pointer, bool]:
    """Write the pointer, unless it names this export already; the pointer, and whether it was written."""
    location, file = request.location, pointer_file(request.name)
    pointer = Pointer(
        name=request.name,
        preset=export.manifest.preset,
        bundle_id=export.manifest.bundle_id,
        export=export.folder,
        manifest=export.digest,
        alias=request.alias,
        time=_now(),
    )
    present = _pointer(request)
    if present is not None and present.model_copy(update={"time": pointer.time}) == pointer:
        return present, False
    if present != before:
        raise _overtaken(location, file, present)
    write(location, file, pointer.encoded())
    written = location.pointer(request.name)
    if written != pointer:
        raise _overtaken(location, file, written)
    return pointer, True


def _overtaken(location: Location, file: str, found: Pointer | None) -> AnimaticError:
    what = "was removed" if found is None else f"was set to bundle {found.bundle_id[:12]} ({found.time})"
    return AnimaticError(
        f"{location.path(file)} {what} by another export meanwhile: nothing of this one is visible; "
        "rerun it if it is the one to be served"
    )


def _remove_partials(location: Location) -> None:
    """Delete what killed exports left in a local folder, whose lock is held."""
    path = location.folder.local_path
    if path is not None:
        for folder in (path / "exports").glob("**/"):
            remove_partials(folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
