"""``clip``: how well image and caption agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.dataset.columns import CLIP_SIMILARITY
from pipelines.score.metrics.clip_model import ClipModel
from pipelines.score.metrics.metric import Frame, Metric, ScoredRow, Value, column_of
from pipelines.video.frames import Frames


@dataclass
class ImageAndCaption:
    """The stored image of a sample, cropped to a square, beside its caption."""

    caption: str
    side: int
    images: list[Frames] = field(default_factory=list)
    wanted = (0,)

    def add(self, frame: Frame) -> None:
        """Take the image."""
        self.images.append(frame.rgb(self.side))


class ClipSimilarity(Metric[ImageAndCaption]):
    """Cosine of the angle between the embeddings of image and caption, -1 to 1."""

    reads = "image"
    suits_images = True

    def __init__(self, model: ClipModel) -> None:
        self._model = model

    def columns(self) -> list[WantedColumn]:
        """``clip_similarity``."""
        return [column_of(CLIP_SIMILARITY, self._model.source)]

    def observer(self, row: ScoredRow) -> ImageAndCaption:
        """For one sample."""
        return ImageAndCaption(row["caption"], self._model.side)

    def values(self, observed: Sequence[ImageAndCaption]) -> list[tuple[Value, ...]]:
        """The cosine of each."""
        images = self._model.image_features([each.images[0] for each in observed])
        captions = self._model.text_features([each.caption for each in observed])
        # Six digits: the last bits differ between devices and batches.
        return [(round(value, 6),) for value in (images * captions).sum(-1).tolist()]
