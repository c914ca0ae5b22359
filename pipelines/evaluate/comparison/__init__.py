"""Paired comparison of two evaluation reports."""

from pipelines.evaluate.comparison.compare import compare
from pipelines.evaluate.comparison.matching import mismatch, require_match
from pipelines.evaluate.comparison.records import Comparison, MetricComparison, Verdict

__all__ = [
    "Comparison",
    "MetricComparison",
    "Verdict",
    "compare",
    "mismatch",
    "require_match",
]
