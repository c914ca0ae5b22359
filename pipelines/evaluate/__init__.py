"""The job: a system generates clips for held-out pictures, metrics measure them, on Ray actors → a report.

The configuration and the reading of reports are imported at once; what needs torch or Ray, when its name is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.records import (
    ClipRow,
    EvaluationReport,
    MetricValue,
    ProtocolRecord,
    SystemRecord,
)
from pipelines.evaluate.report import read_report

if TYPE_CHECKING:
    from pipelines.evaluate.job import evaluate, generate_clips, measure_clips
    from pipelines.evaluate.plan import EvaluationPlan, plan_evaluation
    from pipelines.evaluate.systems import System, bundle_system

__all__ = [
    "ClipRow",
    "EvaluateConfig",
    "EvaluationPlan",
    "EvaluationReport",
    "MetricValue",
    "ProtocolRecord",
    "System",
    "SystemRecord",
    "bundle_system",
    "evaluate",
    "generate_clips",
    "measure_clips",
    "plan_evaluation",
    "read_report",
]

_IMPORTED_ON_USE = {
    "EvaluationPlan": "plan",
    "System": "systems",
    "bundle_system": "systems",
    "evaluate": "job",
    "generate_clips": "job",
    "measure_clips": "job",
    "plan_evaluation": "plan",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch or Ray (PEP 562)."""
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_IMPORTED_ON_USE[name]}"), name)
