"""What a gate decides, with every number that it decided on."""

from dataclasses import dataclass
from typing import Literal

from pipelines.evaluate.comparison import Verdict
from pipelines.evaluate.records import EvaluationReport

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Kind = Literal["floor", "loss", "margin", "improvement", "study", "champion"]


@dataclass(frozen=True)
class Check:
    """One requirement of a gate.

    Attributes:
        name: of the metric, or of the requirement.
        text: what was found, what is required, and for INCONCLUSIVE what is missing; one line.
        value: of the report; ``champion``: of the champion's.
        bound: what was required: a floor, a margin, or a win rate.
        difference, low, high: value - champion with its 95 % interval; for a study, those of the win rate.
        p: of the failure that was tested for, after Holm's correction.
        n: clips, or raters, that count.
    """

    kind: Kind
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
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Decision:
    """The outcome of a gate for one report; digests of all that it depends on.

    ``champion_bundle`` and ``champion_report`` are None without a champion, or without a report of it.
    """

    outcome: Outcome
    gate: str
    gate_name: str
    report: str
    champion_bundle: str | None
    champion_report: str | None
    study: str | None
    checks: tuple[Check, ...]

    def because(self) -> str:
        """The checks that decided, in one line; for PASS, how many there were."""
        deciding = [f"{check.name}: {check.text}" for check in self.checks if check.outcome == self.outcome]
        return f"{len(deciding)} checks" if self.outcome == "PASS" else "; ".join(deciding)


@dataclass(frozen=True)
class Champion:
    """The present champion of a preset: its bundle's id, and its report, or why there is none to compare
    with and how to make one."""

    bundle: str
    report: EvaluationReport | None
    missing: str = ""


@dataclass(frozen=True)
class StudyFinding:
    """What a preference study found of the clips of one report against those of another, for one question.

    ``report`` and ``against`` are digests of reports, ``digest`` that of the study. ``win_rate``: a tie is
    half a win; its 95 % interval is None with too few raters.
    """

    digest: str
    report: str
    against: str
    question: str
    win_rate: float
    low: float | None
    high: float | None
    raters: int
