"""Agreement of frames and caption, by CLIP."""

from pipelines.evaluate.features.extractor import ClipFeatures
from pipelines.evaluate.metrics.metric import Column, FeatureMetric
from pipelines.evaluate.metrics.similarity import normalised
from pipelines.evaluate.records import Values


class ClipText(FeatureMetric):
    """Mean over frames of the cosine of CLIP's image and text features (CLIPSIM, Wu et al. 2021,
    arXiv:2104.14806, there times 100); from -1 to 1, in practice 0.1 to 0.4.

    It reads single frames: words for motion hardly count. A clip that shows the picture unchanged may have as
    much as one that follows its caption; compare with ``clip_text_on_real``.
    """

    name = "clip_text"
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
        assert features.text is not None  # CLIP reads text
        caption = normalised(features.text)
        return {
            self.name: float((normalised(features.generated) @ caption).mean()),
            f"{self.name}_on_real": float((normalised(features.real) @ caption).mean()),
        }
