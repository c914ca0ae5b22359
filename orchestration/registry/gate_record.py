"""What the ledger keeps of a gate's decision: the outcome, every number, and digests of all it depends on.

Later versions may add fields, which are ignored here: the hash of an entry covers its bytes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pipelines.evaluate.gate import Decision

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]


class CheckRecord(BaseModel):
    """One check; the fields are those of :class:`pipelines.evaluate.gate.Check`."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    kind: str
    name: str
    outcome: Outcome
    text: str
    value: float | None = None
    champion: float | None = None
    bound: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int | None = None
    verdict: str | None = None


class GateRecord(BaseModel):
    """One decision; the fields are those of :class:`pipelines.evaluate.gate.Decision`.

    ``gate``, ``report``, ``champion_report`` and ``study`` are digests.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: Outcome
    gate: str
    gate_name: str
    report: str
    champion_bundle: str | None = None
    champion_report: str | None = None
    study: str | None = None
    checks: tuple[CheckRecord, ...]

    @classmethod
    def of(cls, decision: Decision) -> GateRecord:
        """The record of a decision."""
        return cls.model_validate(dataclasses.asdict(decision))
