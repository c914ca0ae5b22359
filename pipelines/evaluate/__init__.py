"""The job: a bundle animates held-out clips → a report with intervals, on Ray actors."""

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.job import evaluate
from pipelines.evaluate.records import Accuracy, ClipResult, EvaluationReport, Mean, Results

__all__ = ["Accuracy", "ClipResult", "EvaluateConfig", "EvaluationReport", "Mean", "Results", "evaluate"]
