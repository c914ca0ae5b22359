"""The promotion gate: whether a report may make its bundle champion."""

from pipelines.evaluate.gate.decision import decide
from pipelines.evaluate.gate.policy import GatePolicy, read_policy, shipped_policy, shipped_presets
from pipelines.evaluate.gate.records import Champion, Check, Decision, Outcome, StudyFinding
from pipelines.evaluate.gate.studies import findings_of

__all__ = [
    "Champion",
    "Check",
    "Decision",
    "GatePolicy",
    "Outcome",
    "StudyFinding",
    "decide",
    "findings_of",
    "read_policy",
    "shipped_policy",
    "shipped_presets",
]
