"""Metrics of samples, one a module."""

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.score.config import MetricName, ScoreConfig
from pipelines.score.metrics.aesthetic import Aesthetic
from pipelines.score.metrics.blur import Blur
from pipelines.score.metrics.clip import ClipSimilarity
from pipelines.score.metrics.clip_model import ClipModel
from pipelines.score.metrics.flow import Flow
from pipelines.score.metrics.metric import Metric
from pipelines.score.metrics.subject_motion import SubjectMotion
from pipelines.score.metrics.text import ScreenText
from pipelines.score.metrics.text_detector import DetectedText

__all__ = ["build_metrics"]


def build_metrics(config: ScoreConfig, names: Sequence[MetricName]) -> dict[MetricName, Metric[Any]]:
    """The metrics of these names."""
    model = ClipModel(config.encoders, config.device, config.batch)
    built: dict[MetricName, Callable[[], Metric[Any]]] = {
        "clip": lambda: ClipSimilarity(model),
        "aesthetic": lambda: Aesthetic(model, str(config.head), config.frames),
        "flow": lambda: Flow(config.device),
        "subject_motion": lambda: SubjectMotion(config.device),
        "text": lambda: _text(config),
        "blur": lambda: Blur(config.frames),
    }
    return {name: built[name]() for name in names}


def _text(config: ScoreConfig) -> Metric[Any]:
    return DetectedText(config.detector, config.frames, config.device) if config.detector else ScreenText()
