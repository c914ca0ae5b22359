"""Metrics of samples, one a module."""

from collections.abc import Sequence
from typing import Any

from pipelines.score.config import MetricName, ScoreConfig
from pipelines.score.metrics.clip import ClipSimilarity
from pipelines.score.metrics.clip_model import ClipModel
from pipelines.score.metrics.metric import Metric

__all__ = ["build_metrics"]


def build_metrics(config: ScoreConfig, names: Sequence[MetricName]) -> dict[MetricName, Metric[Any]]:
    """The metrics of these names."""
    model = ClipModel(config.encoders, config.device)
    metrics: dict[MetricName, Metric[Any]] = {"clip": ClipSimilarity(model)}
    return {name: metrics[name] for name in names}
