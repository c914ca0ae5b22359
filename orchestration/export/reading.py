"""Opening an export for serving: fetched to this machine, every digest verified, then its bundle opened."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from core.files import atomic_file, sha256
from core.lock import file_lock
from core.storage import StoreError
from models.bundle import SIGNATURE, Bundle, open_bundle
from models.diffusion.settings import SamplingSettings
from orchestration.export.formats import FORMATS
from orchestration.export.location import Location, StoredExport
from orchestration.export.records import (
    BUNDLE,
    MANIFEST,
    ExportedFile,
    Manifest,
    Part,
    Pointer,
    export_folder,
    folder_suffix,
    parse,
    pointer_file,
)
from orchestration.signatures import PublicKey, accepted_keys, open_signed

if TYPE_CHECKING:
    from models.animator import Animator

# How often a pointer may move on while what it names is fetched.
_MOST_MOVES = 5


@dataclass(frozen=True)
class ExportedBundle:
    """An export on this machine, verified.

    Attributes:
        pointer: that named it.
        export: its manifest, and the digest of that.
        folder: local; content-addressed: another export has another one.
    """

    pointer: Pointer
    export: StoredExport
    folder: Path
    bundle: Bundle

    @property
    def sampling(self) -> SamplingSettings:
        """Settings to sample with unless a user gives others."""
        return self.export.manifest.sampling

    def part(self, part: Part) -> str | None:
        """The local path of what the bundle lacks: autoencoder, encoders or base; None if it has its own."""
        name = self.export.manifest.parts.get(part)
        return None if name is None else str(self.folder / name)

    def animator(self) -> Animator:
        """The model, in float32 and evaluation mode. Raises AnimaticError where a part does not fit."""
        return self.bundle.animator(self.part("codec"), self.part("encoders"))


def read_export(url: str, name: str, *, to: Path, signers: Sequence[Path] = ()) -> ExportedBundle:
    """The export that a name refers to now, in a folder below ``to``.

    What was fetched before is verified and not fetched again; an interrupted call continues. Several
    processes may use one folder. Formats besides the bundle are not fetched.

    Args:
        url: a folder or object store, as ``animatic export --to`` got it.
        to: kept between calls; whoever calls removes what is not used any more.
        signers: files of public keys, one of which must have signed the bundle, in addition to what this
            machine requires: see :func:`orchestration.signatures.open_trusted`.

    Raises:
        AnimaticError: the name does not exist, a file is missing or was changed, a later version wrote the
            export, the bundle is not signed as required, or the folder cannot be written to.
        StoreError: the location cannot be read.
    """
    location, accepted = Location(url), accepted_keys(signers)
    pointer = _existing(location, name)
    for _ in range(_MOST_MOVES):
        try:
            return _fetched(location, pointer, to, accepted)
        except _MissingError as error:
            # Removed with its export, perhaps, because the pointer moved on.
            moved = _existing(location, name)
            if moved == pointer:
                raise AnimaticError(f"{error}: export the bundle again") from error
            pointer = moved
    raise AnimaticError(f"{location.path(pointer_file(name))} keeps changing: try again later")


def read_version(
    url: str, name: str, manifest: str, *, to: Path, signers: Sequence[Path] = ()
) -> ExportedBundle:
    """As :func:`read_export`: the export whose manifest has this digest, whatever the name refers to now.

    What was fetched before needs no location, which may not answer, or have lost it.

    Raises:
        AnimaticError: it was removed; and as :func:`read_export`.
        StoreError: the location cannot be read.
    """
    location, accepted = Location(url), accepted_keys(signers)
    export = _kept(to, manifest) or _listed(location, manifest)
    if export is None:
        raise AnimaticError(
            f"{location} has no export with manifest {manifest[:12]} any more: export its bundle again"
        )
    found = export.manifest
    pointer = Pointer(
        name=name, preset=found.preset, bundle_id=found.bundle_id, export=export.folder, manifest=manifest,
        alias=None, time=found.created,
    )  # fmt: skip
    try:
        return _opened(location, pointer, export, to, accepted)
    except _MissingError as error:
        raise AnimaticError(f"{error}: export the bundle again") from error


def _kept(to: Path, manifest: str) -> StoredExport | None:
    """The export with a manifest, in the folder of what was fetched."""
    for path in to.glob(f"*{folder_suffix(manifest)}/{MANIFEST}"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == manifest:
            found = parse(Manifest, content, str(path))
            return StoredExport(export_folder(found.bundle_id, manifest), found, manifest)
    return None


def _listed(location: Location, manifest: str) -> StoredExport | None:
    """The export with a manifest, at the location."""
    for folder in location.exports():
        export = location.stored(folder) if folder.endswith(folder_suffix(manifest)) else None
        if export is not None and export.digest == manifest:
            return export
    return None


class _MissingError(Exception):
    """A file of an export that is not at the location; the message has its path."""


def _existing(location: Location, name: str) -> Pointer:
    pointer = location.pointer(name)
    if pointer is not None:
        return pointer
    names = location.names()
    known = f"it has {', '.join(names)}" if names else "it has none"
    raise AnimaticError(f"{location} has no export named {name}: {known}")


def _fetched(
    location: Location, pointer: Pointer, to: Path, accepted: tuple[PublicKey, ...] | None
) -> ExportedBundle:
    export = location.stored(pointer.export)
    if export is None:
        raise _MissingError(f"{location.path(pointer.export)}/{MANIFEST} is missing")
    if (export.digest, export.manifest.bundle_id) != (pointer.manifest, pointer.bundle_id):
        raise AnimaticError(
            f"{location.path(export.folder)}/{MANIFEST} was changed since {pointer_file(pointer.name)} "
            "named it: restore it, or export the bundle again"
        )
    return _opened(location, pointer, export, to, accepted)


def _opened(
    location: Location,
    pointer: Pointer,
    export: StoredExport,
    to: Path,
    accepted: tuple[PublicKey, ...] | None,
) -> ExportedBundle:
    if accepted is not None and f"{BUNDLE}/{SIGNATURE}" not in export.manifest.files:
        raise AnimaticError(
            f"{location.path(export.folder)} is not signed, but a signature is required: sign its bundle "
            "with `animatic sign`, and export it again"
        )
    folder = to / Path(export.folder).name
    with file_lock(folder.with_name(f".{folder.name}.lock")):
        for name, file in export.manifest.files.items():
            if name.partition("/")[0] not in FORMATS:
                _fetch(location, f"{export.folder}/{name}", file, folder / name)
        _keep_manifest(location, export, folder / MANIFEST)
    if accepted is None:
        # The files were verified against the manifest, which must have the digests of the bundle.
        bundle = open_bundle(folder / BUNDLE, verify=False)
    else:
        bundle = open_signed(folder / BUNDLE, accepted).bundle
    recorded = {name: export.manifest.files.get(f"{BUNDLE}/{name}") for name in bundle.digests}
    found = {name: file and file.sha256 for name, file in recorded.items()}
    if found != bundle.digests or bundle.id != pointer.bundle_id:
        raise AnimaticError(
            f"{location.path(export.folder)} contains another bundle than it states: export again"
        )
    base = export.manifest.parts.get("base")
    bundle = bundle.with_base(None if base is None else folder / base)
    return ExportedBundle(pointer, export, folder, bundle)


def _keep_manifest(location: Location, export: StoredExport, path: Path) -> None:
    """Store the manifest beside the files, by which :func:`read_version` finds them."""
    if path.is_file() and sha256(path) == export.digest:
        return
    content = location.read(f"{export.folder}/{MANIFEST}")
    if content is None or hashlib.sha256(content).hexdigest() != export.digest:
        raise _MissingError(f"{location.path(export.folder)}/{MANIFEST} is missing")
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def _fetch(location: Location, name: str, file: ExportedFile, path: Path) -> None:
    """Fetch a file, unless it is there intact."""
    if path.is_file() and path.stat().st_size == file.bytes and sha256(path) == file.sha256:
        return
    with atomic_file(path) as partial:
        try:
            location.call(lambda: location.folder.fetch(name, partial))
        except FileNotFoundError as error:
            if isinstance(error, StoreError) or not partial.parent.is_dir():
                raise
            raise _MissingError(f"{location.path(name)} is missing") from error
        if sha256(partial) != file.sha256:
            raise AnimaticError(
                f"{location.path(name)} does not match the sha256 in its manifest: restore it, or export the "
                "bundle again"
            )
