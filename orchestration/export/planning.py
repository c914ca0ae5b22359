"""What an export will contain: taken from one that was interrupted, or written now."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from core.canonical_json import digest_of
from core.code_version import code_version
from orchestration.export.contents import Subject
from orchestration.export.location import Location, StoredExport
from orchestration.export.records import (
    FORMAT,
    ExportedFile,
    LedgerPosition,
    Manifest,
    UnreadableDocumentError,
    export_folder,
)
from orchestration.export.sources import Sources, is_document


def plan_export(
    subject: Subject, location: Location, sources: Sources, preferred: str | None
) -> StoredExport:
    """The export of a subject: one with the same identity that the location has, whole or not, or a new one.

    Args:
        preferred: folder of the export to continue where several have the identity: that of the pointer.
    """
    copied = sources.copied()
    identity = _identity(subject, copied)
    prefix = export_folder(subject.bundle.id, "")
    folders = [folder for folder in location.exports() if folder.startswith(prefix)]
    for folder in sorted(folders, key=lambda folder: folder != preferred):
        found = _readable(location, folder)
        if found is not None and found.manifest.identity == identity and _has_documents(location, found):
            return found
    manifest = _manifest(subject, identity, copied | sources.written(copied), sources)
    digest = hashlib.sha256(manifest.encoded()).hexdigest()
    return StoredExport(export_folder(subject.bundle.id, digest), manifest, digest)


def _identity(subject: Subject, copied: dict[str, ExportedFile]) -> str:
    """Digest of what decides the content; converted formats depend on the code too."""
    rests_on = subject.rests_on
    return digest_of(
        {
            "format": FORMAT,
            "files": {name: file.sha256 for name, file in copied.items()},
            "formats": list(subject.formats),
            "code": code_version() if len(subject.formats) > 1 else None,
            "card": subject.fields.model_dump(mode="json"),
            "entry": None if rests_on is None else rests_on.hash,
        }
    )


def _readable(location: Location, folder: str) -> StoredExport | None:
    """The export in a folder; None where its manifest is missing, damaged or of a later version."""
    try:
        return location.stored(folder)
    except UnreadableDocumentError:
        return None


def _has_documents(location: Location, export: StoredExport) -> bool:
    """Whether its documents are intact: they cannot be written again."""
    return all(
        hashlib.sha256(location.read(f"{export.folder}/{name}") or b"").hexdigest() == file.sha256
        for name, file in export.manifest.files.items()
        if is_document(name)
    )


def _manifest(subject: Subject, identity: str, files: dict[str, ExportedFile], sources: Sources) -> Manifest:
    info, promotion = subject.bundle.info, subject.promotion
    rests_on = subject.rests_on
    return Manifest(
        identity=identity,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        bundle_id=subject.bundle.id,
        stage=info.stage,
        preset=info.preset,
        formats=subject.formats,
        files=files,
        sampling=info.sampling_defaults,
        sampling_from="general" if info.sampling is None else "bundle",
        parts=sources.parts(),
        gate=promotion.gate.outcome if promotion is not None and promotion.gate is not None else None,
        forced=promotion.forced if promotion is not None else "",
        ledger=None if rests_on is None else LedgerPosition(seq=rests_on.seq, hash=rests_on.hash),
        licence=subject.licence,
    )
