"""What promotions were decided on, kept beside the ledger under the digests that its entries name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from core.canonical_json import digest_of
from core.files import atomic_file
from orchestration.registry.gate_record import GateRecord

FOLDER = "promotions"
Kind = Literal["report", "gate", "study"]


class Evidence:
    """The folder ``promotions`` beside a ledger: ``report-DIGEST.json``, ``gate-DIGEST.json`` and
    ``study-DIGEST.json``, so that evaluations can be deleted and promotions still be verified.

    Reports and studies contain their digest, which is that of everything else in them; a gate's is that of
    its content.
    """

    def __init__(self, ledger: Path) -> None:
        self.folder = ledger.parent / FOLDER

    def path(self, kind: Kind, digest: str) -> Path:
        """The file of a digest."""
        return self.folder / f"{kind}-{digest}.json"

    def keep(self, kind: Kind, digest: str, content: bytes) -> None:
        """Store a document, unless it is stored intact."""
        if self._problem(kind, digest) is not None:
            with atomic_file(self.path(kind, digest)) as partial:
                partial.write_bytes(content)

    def problems(self, record: GateRecord) -> list[str]:
        """Which documents of a decision are missing or changed, one line each."""
        named: list[tuple[Kind, str | None]] = [
            ("report", record.report),
            ("report", record.champion_report),
            ("gate", record.gate),
            ("study", record.study),
        ]
        found = (self._problem(kind, digest) for kind, digest in named if digest is not None)
        return [problem for problem in found if problem is not None]

    def _problem(self, kind: Kind, digest: str) -> str | None:
        path = self.path(kind, digest)
        if not path.is_file():
            return f"{kind} {path} is missing"
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            return f"{kind} {path} is damaged"
        if kind != "gate" and isinstance(document, dict):
            document.pop("digest", None)
        return None if digest_of(document) == digest else f"{kind} {path} does not match its digest"
