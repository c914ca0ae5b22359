"""The job: a bundle animates held-out clips → a report with intervals, on Ray actors."""

from pipelines.evaluate.job import EvaluateConfig, evaluate

__all__ = ["EvaluateConfig", "evaluate"]
