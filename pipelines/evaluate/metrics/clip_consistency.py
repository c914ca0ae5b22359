"""Consistency of successive frames, by CLIP."""

from pipelines.evaluate.features.extractor import ClipFeatures, Vectors
from pipelines.evaluate.metrics.metric import Column, FeatureMetric
from pipelines.evaluate.metrics.similarity import normalised
from pipelines.evaluate.records import Values


class ClipConsistency(FeatureMetric):
    """Mean cosine of CLIP's image features of successive frames (Esser et al. 2023, arXiv:2302.03011); from
    -1 to 1, None for a clip of one frame.

    A frozen video has the maximum, 1: read the dynamic degree beside it, and ``clip_consistency_on_real``.
    """

    name = "clip_consistency"
    unit = "1"
    better = "higher"
    extractor = "clip"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better)
        return own, own.on_real()

    def measure(self, features: ClipFeatures) -> Values:
        """Of both clips."""
        return {
            self.name: _consistency(features.generated),
            f"{self.name}_on_real": _consistency(features.real),
        }


def _consistency(frames: Vectors) -> float | None:
    if len(frames) < 2:
        return None
    directions = normalised(frames)
    return float((directions[1:] * directions[:-1]).sum(axis=-1).mean())
