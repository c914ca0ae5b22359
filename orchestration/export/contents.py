"""What an export contains besides the model: documents, each by a function of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from core.canonical_json import INDENTED_ESCAPED
from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.export.card import CardFacts, CardFields, CardFile, hub_card
from orchestration.export.records import ExportedFile, Part
from orchestration.lineage import LineageGraph, collect_lineage
from orchestration.registry import DamagedEvidenceError, Entry, Evidence
from orchestration.workspace import Workspace
from pipelines.evaluate import read_report

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Subject:
    """A bundle that is exported, and what is known about it.

    Attributes:
        bundle: opened and verified.
        promotion: by which it became champion last; None if it never was.
        accepted: by which the ledger knows it; None if it does not.
        formats: in which the model is exported; ``bundle`` always.
        fields: what its authors state.
        codec, encoders: file or folder of the parts that the bundle lacks, to be exported with it.
    """

    bundle: Bundle
    workspace: Workspace
    promotion: Entry | None
    accepted: Entry | None
    formats: tuple[str, ...] = ("bundle",)
    fields: CardFields = field(default_factory=CardFields)
    codec: Path | None = None
    encoders: Path | None = None

    @property
    def rests_on(self) -> Entry | None:
        """The entry of the ledger that the export rests on."""
        return self.promotion or self.accepted

    @property
    def licence(self) -> str:
        """Of the model, as its authors state it."""
        return self.fields.license_name or self.fields.license

    @cached_property
    def lineage(self) -> LineageGraph:
        """What the bundle comes from, every digest checked again where it can be reached."""
        return collect_lineage(self.bundle, self.workspace)


@dataclass(frozen=True)
class Written:
    """What an export has when one of its documents is written.

    Attributes:
        folder: where documents and formats are written.
        files: all files so far, by their names in the export.
        parts: the exported file or folder of each part that the bundle lacks.
    """

    folder: Path
    files: Mapping[str, ExportedFile]
    parts: Mapping[Part, str]


@dataclass(frozen=True)
class Content:
    """One document of an export.

    Attributes:
        name: of its file, in the export's folder.
        write: creates this file in the folder, or nothing if the subject has no such thing. One subject need
            not always give the same bytes: an export that was interrupted keeps its own.
    """

    name: str
    write: Callable[[Subject, Written], None]


def write_evaluation(subject: Subject, written: Written) -> None:
    """``evaluation.json``: the report by which the bundle passed the gate; none if there was no gate."""
    promotion, ledger = subject.promotion, subject.workspace.ledger
    if promotion is None or promotion.gate is None:
        return
    try:
        report = Evidence(ledger.folder).read("report", promotion.gate.report)
    except DamagedEvidenceError as error:
        raise AnimaticError(f"{error}: restore it from a backup, or promote the bundle again") from error
    (written.folder / EVALUATION).write_bytes(report)


def write_gate(subject: Subject, written: Written) -> None:
    """``gate.json``: the decision by which the bundle became champion; none if there was none."""
    promotion = subject.promotion
    if promotion is None or (promotion.gate is None and not promotion.forced):
        return
    document = {
        "format": 1,
        "bundle_id": promotion.bundle_id,
        "entry": {"seq": promotion.seq, "hash": promotion.hash, "time": promotion.time},
        "actor": promotion.actor,
        "forced": promotion.forced,
        "decision": None if promotion.gate is None else promotion.gate.model_dump(mode="json"),
    }
    (written.folder / "gate.json").write_bytes(INDENTED_ESCAPED.encode(document) + b"\n")


def write_lineage(subject: Subject, written: Written) -> None:
    """``lineage.json``: what the bundle comes from, as a graph."""
    (written.folder / "lineage.json").write_bytes(INDENTED_ESCAPED.encode(subject.lineage.as_json()) + b"\n")


def write_card(subject: Subject, written: Written) -> None:
    """``README.md``: the model card, which a model hub accepts."""
    promotion, bundle, report = subject.promotion, subject.bundle, written.folder / EVALUATION
    facts = CardFacts(
        name=f"animatic-{bundle.info.preset}-{bundle.id[:12]}",
        formats=subject.formats,
        parts={str(part): name for part, name in written.parts.items()},
        files=tuple(CardFile(name, file.bytes, file.sha256) for name, file in sorted(written.files.items())),
        lineage=subject.lineage,
        report=read_report(report) if report.is_file() else None,
        gate=None if promotion is None else promotion.gate,
        forced="" if promotion is None else promotion.forced,
        ledger=None if subject.rests_on is None else subject.rests_on.hash,
    )
    text = hub_card(bundle, facts, subject.fields)
    (written.folder / "README.md").write_text(text, encoding="utf-8")


# In this order: the model card comes last, because it describes the others.
CONTENTS = (
    Content(EVALUATION, write_evaluation),
    Content("gate.json", write_gate),
    Content("lineage.json", write_lineage),
    Content("README.md", write_card),
)
