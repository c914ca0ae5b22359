"""What promotions were decided on, kept beside the ledger under the digests that its entries name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.files import atomic_file
from core.storage import Folder
from core.urls import without_credentials
from orchestration.registry.gate_record import GateRecord

FOLDER = "promotions"
Kind = Literal["report", "gate", "study"]


class DamagedEvidenceError(AnimaticError):
    """A document of a promotion that is missing, or changed."""


class Evidence:
    """The folder ``promotions`` beside a ledger: ``report-DIGEST.json``, ``gate-DIGEST.json`` and
    ``study-DIGEST.json``, so that evaluations can be deleted and promotions still be verified.

    Reports and studies contain their digest, which is that of everything else in them; a gate's is that of
    its content.
    """

    def __init__(self, registry: Folder) -> None:
        self._registry = registry

    def name(self, kind: Kind, digest: str) -> str:
        """The file of a digest, relative to the registry's folder."""
        return f"{FOLDER}/{kind}-{digest}.json"

    def keep(self, kind: Kind, digest: str, content: bytes) -> None:
        """Store a document, unless it is stored intact."""
        if self.problem(kind, digest) is not None:
            self._registry.write(self.name(kind, digest), content)

    def local(self, kind: Kind, digest: str, cache: Path) -> Path:
        """A local copy of a document: the document itself, or what was fetched below ``cache``.

        A document that is missing has no copy either: the path then does not exist.
        """
        folder = self._registry.local_path
        path = (cache if folder is None else folder) / self.name(kind, digest)
        if folder is None and self._registry.exists(self.name(kind, digest)):
            with atomic_file(path) as partial:
                self._registry.fetch(self.name(kind, digest), partial)
        return path

    def problems(self, record: GateRecord) -> list[str]:
        """Which documents of a decision are missing or changed, one line each."""
        named: list[tuple[Kind, str | None]] = [
            ("report", record.report),
            ("report", record.champion_report),
            ("gate", record.gate),
            ("study", record.study),
        ]
        found = (self.problem(kind, digest) for kind, digest in named if digest is not None)
        return [problem for problem in found if problem is not None]

    def where(self, kind: Kind, digest: str) -> str:
        """The path or URL of a document, for display."""
        return without_credentials(f"{self._registry}/{self.name(kind, digest)}")

    def problem(self, kind: Kind, digest: str) -> str | None:
        """In one line that a document is missing, or changed; None if it is intact."""
        try:
            self.read(kind, digest)
        except DamagedEvidenceError as error:
            return str(error)
        return None

    def read(self, kind: Kind, digest: str) -> bytes:
        """A document, whose bytes have the digest. Raises DamagedEvidenceError, or StoreError."""
        where = f"{kind} {self.where(kind, digest)}"
        try:
            content = self._registry.read(self.name(kind, digest))
            document = json.loads(content)
        except FileNotFoundError as error:
            raise DamagedEvidenceError(f"{where} is missing") from error
        except (ValueError, RecursionError) as error:  # the latter: nested more deeply than any document
            raise DamagedEvidenceError(f"{where} is damaged") from error
        if kind != "gate" and isinstance(document, dict):
            document.pop("digest", None)
        if digest_of(document) != digest:
            raise DamagedEvidenceError(f"{where} does not match its digest")
        return content
