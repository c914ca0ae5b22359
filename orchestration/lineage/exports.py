"""Whether an export that the ledger records is still where it was written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from core.storage import Folder
from orchestration.lineage.looking import Check, Looker
from orchestration.lineage.records import Fact
from orchestration.registry import Entry

_MANIFEST = "export.json"


class _File(BaseModel):
    """The part of a manifest's entry that every version has."""

    model_config = ConfigDict(extra="ignore")

    sha256: str
    bytes: int


class _Manifest(BaseModel):
    """The part of an export's manifest that is looked at."""

    model_config = ConfigDict(extra="ignore")

    files: dict[str, _File]


class _Pointer(BaseModel):
    """The part of a pointer that is looked at."""

    model_config = ConfigDict(extra="ignore")

    manifest: str


@dataclass(frozen=True)
class _Export:
    """Where an export is: the folder or URL of its location, its own folder there, and its pointer."""

    url: str
    folder: str
    pointer: str

    @property
    def location(self) -> Folder:
        """Raises AnimaticError where this machine cannot open such URLs."""
        return Folder(self.url)


def check_export(entry: Entry, looker: Looker, *, deep: bool) -> tuple[Check, tuple[Fact, ...]]:
    """The state of an export, and facts about it.

    Args:
        deep: read all of its bytes; otherwise its manifest, and the sizes of its files.
    """
    location, _, pointer = entry.location.rpartition("/")
    export = _Export(location or ".", f"exports/{entry.bundle_id[:16]}-{entry.digest[:8]}", pointer)
    manifest = looker.look(entry.location, lambda: _manifest(export, entry.digest))
    if isinstance(manifest, Check):
        return manifest, ()
    total = sum(file.bytes for file in manifest.files.values())
    problems = looker.look(
        entry.location, lambda: _problems(export, manifest, deep=deep), size=total if deep else 0
    )
    current = looker.look(entry.location, lambda: _points_to(export, entry.digest))
    facts = [Fact("files", f"{len(manifest.files)}, {total:,} bytes")]
    if not isinstance(current, Check):
        facts.append(Fact("pointer", "names this export" if current else "names another export now"))
    if isinstance(problems, Check):
        return problems, tuple(facts)
    how = "all of its bytes were read" if deep else "its manifest and sizes of files; --deep reads them"
    return (Check.of_problems(problems) if problems else Check("verified", how)), tuple(facts)


def _manifest(export: _Export, digest: str) -> _Manifest | Check:
    """The manifest of an export. Raises FileNotFoundError where it is gone."""
    content = export.location.read(f"{export.folder}/{_MANIFEST}")
    if hashlib.sha256(content).hexdigest() != digest:
        return Check("changed", f"{export.folder}/{_MANIFEST} is not the one that the ledger recorded")
    try:
        return _Manifest.model_validate_json(content)
    except ValidationError:
        return Check("changed", f"{export.folder}/{_MANIFEST} is no manifest of an export")


def _problems(export: _Export, manifest: _Manifest, *, deep: bool) -> list[str]:
    sizes = export.location.tree(export.folder)
    problems = []
    for name, file in manifest.files.items():
        if name not in sizes:
            problems.append(f"{name}: missing")
        elif sizes[name] != file.bytes:
            problems.append(f"{name}: {sizes[name]:,} bytes, not {file.bytes:,}")
        elif deep and export.location.sha256(f"{export.folder}/{name}") != file.sha256:
            problems.append(f"{name}: does not match its recorded sha256")
    return problems


def _points_to(export: _Export, digest: str) -> bool:
    """Whether the pointer still names this export; False where it is gone or is no pointer any more."""
    try:
        return _Pointer.model_validate_json(export.location.read(export.pointer)).manifest == digest
    except (FileNotFoundError, ValidationError):
        return False
