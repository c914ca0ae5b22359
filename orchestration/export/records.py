"""The two documents of an export: the manifest of its files, and the pointer that makes it visible."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from core.canonical_json import INDENTED_ESCAPED
from core.errors import AnimaticError
from core.urls import join_inside
from models.diffusion.settings import SamplingSettings

FORMAT = 1
MANIFEST = "export.json"
EXPORTS = "exports"
BUNDLE = "bundle"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUFFIX = ".json"

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Part = Literal["codec", "encoders", "base"]
Document = TypeVar("Document", bound="ExportDocument")


class UnreadableDocumentError(AnimaticError):
    """A document that is damaged, of a later format, or something else."""


class ExportDocument(BaseModel):
    """A JSON document of this room. Keys that a later version adds to a format are ignored."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT

    def encoded(self) -> bytes:
        """The bytes that are stored; equal documents have equal ones."""
        return INDENTED_ESCAPED.encode(self.model_dump(mode="json")) + b"\n"


class ExportedFile(BaseModel):
    """One file of an export."""

    model_config = ConfigDict(frozen=True)

    sha256: Digest
    bytes: NonNegativeInt


class LedgerPosition(BaseModel):
    """The entry of the ledger that an export rests on: it covers all entries before it by its hash."""

    model_config = ConfigDict(frozen=True)

    seq: int
    hash: Digest


class Manifest(ExportDocument):
    """What an export contains: the content of ``export.json``.

    Attributes:
        identity: digest of what the export was made from; equal ones need no second export.
        created: UTC.
        code_version: that exported it.
        formats: in which the model is there; ``bundle`` always.
        files: by name, relative to the export's folder; ``export.json`` itself is not among them.
        sampling: settings to sample with by default.
        sampling_from: ``general`` where the bundle was written before bundles recorded their own.
        parts: the file or folder, in the export, of an autoencoder or of encoders that the bundle lacks, and
            of the base of an adapter.
        gate: outcome of the gate that the bundle became champion by; None if there was none.
        forced: why it became champion without the gate's consent; empty if it did not.
        ledger: the promotion, or else the acceptance, of the bundle; None if the ledger has neither.
        licence: as the model card states it.
    """

    identity: Digest
    created: str
    code_version: str
    bundle_id: Digest
    stage: int
    preset: str
    formats: tuple[str, ...]
    files: dict[str, ExportedFile]
    sampling: SamplingSettings
    sampling_from: Literal["bundle", "general"]
    parts: dict[Part, str] = {}
    gate: str | None
    forced: str = ""
    ledger: LedgerPosition | None
    licence: str

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, ExportedFile]) -> dict[str, ExportedFile]:
        for name in files:
            # ValueError for a name that leads out of the export's folder. Another form of a name, as with
            # "./", could replace a file that was verified under its own.
            if join_inside("export", name) != f"export/{name}" or name == ".":
                raise ValueError(f"{name!r} is not the name of a file")
        return files

    @model_validator(mode="after")
    def _parts_are_files(self) -> Self:
        for name in self.parts.values():
            if name not in self.files and not any(file.startswith(f"{name}/") for file in self.files):
                raise ValueError(f"part {name} is not among the files")
        return self


class Pointer(ExportDocument):
    """Which export a name refers to: the content of ``NAME.json``.

    Attributes:
        export: folder of the export, relative to the pointer's.
        manifest: digest of its ``export.json``.
        alias: that the bundle was named by when it was exported; None if by folder, id or nothing.
        time: of the export, UTC.
    """

    kind: Literal["animatic-export"] = "animatic-export"
    name: str
    preset: str
    bundle_id: Digest
    export: Annotated[str, StringConstraints(pattern=r"^exports/[0-9a-f]{16}-[0-9a-f]{8}$")]
    manifest: Digest
    alias: str | None
    time: str


def export_folder(bundle_id: str, manifest_digest: str) -> str:
    """The folder of an export: another content has another name."""
    return f"{EXPORTS}/{bundle_id[:16]}{folder_suffix(manifest_digest)}"


def folder_suffix(manifest_digest: str) -> str:
    """How the name of an export's folder ends."""
    return f"-{manifest_digest[:8]}"


def pointer_file(name: str) -> str:
    """The file of a pointer.

    Raises:
        AnimaticError: the name contains something else than letters, digits, ``.``, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise AnimaticError(
            f"{name!r} cannot be the name of an export: use up to 100 letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit"
        )
    return name + _SUFFIX


def pointer_name(file: str) -> str | None:
    """The name of the pointer in a file; None for a file that is none by its name."""
    name = file.removesuffix(_SUFFIX)
    return name if name != file and _NAME.fullmatch(name) else None


def parse(kind: type[Document], content: bytes, where: str) -> Document:
    """A document from its bytes.

    Raises:
        UnreadableDocumentError: it is of a later format, damaged, or something else; the message begins with
            ``where``.
    """
    try:
        found = ExportDocument.model_validate_json(content).format
        if found > FORMAT:
            raise UnreadableDocumentError(
                f"{where} is of export format {found}, this version reads format {FORMAT}: update this "
                "installation"
            )
        return kind.model_validate_json(content)
    except ValidationError as error:
        what = "an export's manifest" if kind is Manifest else "the pointer of an export"
        first = error.errors()[0]
        reason = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise UnreadableDocumentError(f"{where} is not {what} ({reason})") from error
