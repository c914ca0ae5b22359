"""Cosine similarities of features."""

from pipelines.evaluate.features.extractor import ClipFeatures, Vectors
from pipelines.evaluate.metrics.metric import Column, FeatureMetric
from pipelines.evaluate.records import Values
from pipelines.evaluate.statistics.moments import Floats


def normalised(vectors: Vectors) -> Floats:
    """Vectors [… d] divided by their lengths, in float64; not finite where a length is 0."""
    wide = vectors.astype("float64")
    length = (wide * wide).sum(axis=-1, keepdims=True) ** 0.5
    return wide / length


class ConformityMetric(FeatureMetric):
    """Mean cosine similarity of the frames to the picture: 1/L · Σ_l cos(e(x_in), e(x_l)); from -1 to 1."""

    unit = "1"
    better = "higher"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better)
        return own, own.on_real()

    def measure(self, features: ClipFeatures) -> Values:
        """Of both clips; the picture is the first frame of the real one."""
        picture = normalised(features.real[0])
        return {
            self.name: float((normalised(features.generated) @ picture).mean()),
            f"{self.name}_on_real": float((normalised(features.real) @ picture).mean()),
        }
