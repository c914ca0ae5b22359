"""What the gate of a promotion is given and finds; apart from the workflow, whose imports take a second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError

if TYPE_CHECKING:
    from pipelines.evaluate import EvaluationReport
    from pipelines.evaluate.gate import Decision


@dataclass(frozen=True)
class GateOptions:
    """``report``: of the bundle, the newest one below ``runs/evaluations`` if None; ``gate``: a file, the
    preset's own gate if None; ``champion_report``: in place of the one that the ledger recorded or the newest
    that fits; ``study``: the ``study.json`` of a preference study."""

    report: Path | None = None
    gate: Path | None = None
    champion_report: Path | None = None
    study: Path | None = None


@dataclass(frozen=True)
class Judgement:
    """A decision, and the reports that it is about, with their files; the champion's are None without one
    that compares."""

    decision: Decision
    path: Path
    report: EvaluationReport
    champion_path: Path | None
    champion_report: EvaluationReport | None


class GateRefusalError(AnimaticError):
    """A gate that does not pass; ``judgement`` has every check."""

    def __init__(self, judgement: Judgement) -> None:
        decision = judgement.decision
        super().__init__(f"gate {decision.gate_name}: {decision.outcome}: {decision.because()}")
        self.judgement = judgement
