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
from pipelines.evaluate.report import REPORT, encode_report, read_report, report_file

if TYPE_CHECKING:
    from pipelines.evaluate.clips import SampleShape
    from pipelines.evaluate.job import evaluate, generate_clips, measure_clips
    from pipelines.evaluate.pictures import export_pictures
    from pipelines.evaluate.plan import EvaluationPlan, check_metrics, plan_evaluation
    from pipelines.evaluate.protocols.public_datasets import PublicData, prepare_public_data
    from pipelines.evaluate.sources import files_with_sources
    from pipelines.evaluate.systems import (
        BASELINES,
        BaselineName,
        BaselineSettings,
        System,
        baseline_system,
        bundle_system,
        generated_system,
    )
    from pipelines.evaluate.together import evaluate_together

__all__ = [
    "BASELINES",
    "REPORT",
    "BaselineName",
    "BaselineSettings",
    "ClipRow",
    "EvaluateConfig",
    "EvaluationPlan",
    "EvaluationReport",
    "MetricValue",
    "ProtocolRecord",
    "PublicData",
    "SampleShape",
    "System",
    "SystemRecord",
    "baseline_system",
    "bundle_system",
    "check_metrics",
    "encode_report",
    "evaluate",
    "evaluate_together",
    "export_pictures",
    "files_with_sources",
    "generate_clips",
    "generated_system",
    "measure_clips",
    "plan_evaluation",
    "prepare_public_data",
    "read_report",
    "report_file",
]

_IMPORTED_ON_USE = {
    "BASELINES": "systems",
    "BaselineName": "systems",
    "BaselineSettings": "systems",
    "EvaluationPlan": "plan",
    "PublicData": "protocols.public_datasets",
    "SampleShape": "clips",
    "System": "systems",
    "baseline_system": "systems",
    "bundle_system": "systems",
    "check_metrics": "plan",
    "evaluate": "job",
    "evaluate_together": "together",
    "export_pictures": "pictures",
    "files_with_sources": "sources",
    "generate_clips": "job",
    "generated_system": "systems",
    "measure_clips": "job",
    "plan_evaluation": "plan",
    "prepare_public_data": "protocols.public_datasets",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch or Ray (PEP 562)."""
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_IMPORTED_ON_USE[name]}"), name)
