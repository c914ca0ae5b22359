"""What an export contains besides the model: documents, each by a function of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.canonical_json import INDENTED_ESCAPED
from core.errors import AnimaticError
from models.bundle import Bundle
from orchestration.lineage import collect_lineage
from orchestration.registry import Entry, Evidence
from orchestration.workspace import Workspace


@dataclass(frozen=True)
class Subject:
    """A bundle that is exported, and what is known about it.

    Attributes:
        bundle: opened and verified.
        promotion: by which it became champion last; None if it never was.
        accepted: by which the ledger knows it; None if it does not.
        formats: in which the model is exported; ``bundle`` always.
        licence: of the model, as its card states it.
        codec, encoders: file or folder of the parts that the bundle lacks, to be exported with it.
    """

    bundle: Bundle
    workspace: Workspace
    promotion: Entry | None
    accepted: Entry | None
    formats: tuple[str, ...] = ("bundle",)
    codec: Path | None = None
    encoders: Path | None = None
    licence: str = "unknown"


@dataclass(frozen=True)
class Content:
    """One document of an export.

    Attributes:
        name: of its file, in the export's folder.
        write: creates this file in a local folder, or nothing if the subject has no such thing. The files of
            the contents before it are there by then, and those of the formats. The same subject must not
            always give the same bytes: an export that was interrupted keeps its own.
    """

    name: str
    write: Callable[[Subject, Path], None]


def write_gate(subject: Subject, folder: Path) -> None:
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
    (folder / "gate.json").write_bytes(INDENTED_ESCAPED.encode(document) + b"\n")


def write_evaluation(subject: Subject, folder: Path) -> None:
    """``evaluation.json``: the report by which the bundle passed the gate; none if there was no gate."""
    promotion, ledger = subject.promotion, subject.workspace.ledger
    if promotion is None or promotion.gate is None:
        return
    evidence, digest = Evidence(ledger.folder), promotion.gate.report
    problems = [problem for problem in evidence.problems(promotion.gate) if digest in problem]
    if problems:
        raise AnimaticError(f"{problems[0]}: restore it from a backup, or promote the bundle again")
    (folder / "evaluation.json").write_bytes(ledger.folder.read(evidence.name("report", digest)))


def write_lineage(subject: Subject, folder: Path) -> None:
    """``lineage.json``: what the bundle comes from, every digest checked again where it can be reached."""
    graph = collect_lineage(subject.bundle, subject.workspace)
    (folder / "lineage.json").write_bytes(INDENTED_ESCAPED.encode(graph.as_json()) + b"\n")


# In this order: the model card comes last, because it describes the others.
CONTENTS: tuple[Content, ...] = (
    Content("evaluation.json", write_evaluation),
    Content("gate.json", write_gate),
    Content("lineage.json", write_lineage),
)
