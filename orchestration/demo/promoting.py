"""The demo's promotion: the last stage's bundle through the gate, and the record of the decision."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from core.files import write_text
from orchestration.registry import GateRecord
from orchestration.workflows import promotion
from orchestration.workflows.gate_records import GateOptions, GateRefusalError
from orchestration.workspace import Workspace

RECORD = "gate.json"


class Promotion(BaseModel):
    """What the gate decided about a bundle; ``warning`` if MLflow could not be updated."""

    bundle_id: str
    gate: GateRecord
    warning: str | None = None


def promote(out: Path, bundle: Path, gate: GateOptions, workspace: Workspace) -> Promotion:
    """Promote a bundle if its report passes the gate, and record the decision in ``out`` in either case.

    Raises AnimaticError for a report or a ledger that cannot be read.
    """
    options = promotion.PromoteOptions(bundle, note="made by the demo", gate=gate)
    try:
        result = promotion.promote(options, workspace)
    except GateRefusalError as refusal:
        decision, warning = GateRecord.of(refusal.judgement.decision), None
        bundle_id = refusal.judgement.report["system"]["digest"]
    else:
        assert result.entry.gate is not None  # nothing is forced, and the bundle was no champion
        decision, warning, bundle_id = result.entry.gate, result.warning, result.entry.bundle_id
    made = Promotion(bundle_id=bundle_id, gate=decision, warning=warning)
    write_text(out / RECORD, made.model_dump_json(indent=1))
    return made


def read(out: Path, bundle_id: str) -> GateRecord | None:
    """The recorded decision about this bundle; None if there is none."""
    path = out / RECORD
    if not path.exists():
        return None
    made = Promotion.model_validate_json(path.read_bytes())
    return made.gate if made.bundle_id == bundle_id else None
