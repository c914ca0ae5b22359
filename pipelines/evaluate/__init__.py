"""The job: a bundle animates held-out clips → a report with intervals, on Ray actors."""

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.job import evaluate, run_evaluation
from pipelines.evaluate.plan import EvaluationPlan, plan_evaluation
from pipelines.evaluate.records import Accuracy, ClipResult, EvaluationReport, Mean, Results

__all__ = [
    "Accuracy",
    "ClipResult",
    "EvaluateConfig",
    "EvaluationPlan",
    "EvaluationReport",
    "Mean",
    "Results",
    "evaluate",
    "plan_evaluation",
    "run_evaluation",
]
