"""The promotion gate: whether a report may make its bundle champion."""

from pipelines.evaluate.gate.decision import decide
from pipelines.evaluate.gate.policy import GatePolicy, read_policy, shipped_policy, shipped_presets
from pipelines.evaluate.gate.records import Champion, Check, Decision, Outcome, StudyFinding

__all__ = [
    "Champion",
    "Check",
    "Decision",
    "GatePolicy",
    "Outcome",
    "StudyFinding",
    "decide",
    "read_policy",
    "shipped_policy",
    "shipped_presets",
]
