"""``aesthetic``: how good frames look, by a head over CLIP's embeddings."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import AnimaticError
from pipelines.cluster.column_jobs import WantedColumn
from pipelines.score.metrics.aesthetic_head import AestheticHead, load_head
from pipelines.score.metrics.clip_model import ClipModel
from pipelines.score.metrics.metric import Frame, Metric, ScoredRow, Value, column_of, evenly
from pipelines.video.frames import Frames


@dataclass
class SquareFrames:
    """Frames of one clip, cropped to squares."""

    wanted: list[int]
    side: int
    frames: list[Frames] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        self.frames.append(frame.rgb(self.side))


class Aesthetic(Metric[SquareFrames]):
    """Mean and smallest rating of evenly drawn frames, mostly 1 to 10, as people rated images.

    The head must be one for this CLIP model: LAION's are for ViT-L-14, ViT-B-32 and others.
    """

    reads = "clip"
    suits_images = True

    def __init__(self, model: ClipModel, head: str, frames: int) -> None:
        self._model, self._path, self._frames = model, Path(head), frames

    @functools.cached_property
    def _head(self) -> AestheticHead:
        head, width = load_head(self._path), self._model.width
        if head.width != width:
            raise AnimaticError(
                f"{self._path} (head) takes {head.width} features and CLIP model "
                f"{self._model.source['model']} has {width}: use the model that the head was trained with"
            )
        return head

    def columns(self) -> list[WantedColumn]:
        """``aesthetic``, the mean, and ``aesthetic_min``."""
        source = {**self._model.source, "head": self._head.digest, "frames": str(self._frames)}
        return [column_of("aesthetic", source), column_of("aesthetic_min", source)]

    def observer(self, row: ScoredRow) -> SquareFrames:
        """For one sample."""
        return SquareFrames(evenly(row["frames"], self._frames), self._model.side)

    def values(self, observed: Sequence[SquareFrames]) -> list[tuple[Value, ...]]:
        """Mean and minimum of each."""
        features = self._model.image_features([frame for each in observed for frame in each.frames])
        ratings = iter(self._head.rate(features).tolist())
        found: list[tuple[Value, ...]] = []
        for each in observed:
            mine = [next(ratings) for _ in each.frames]
            # Four digits: the last bits differ between devices and batches.
            found.append((round(sum(mine) / len(mine), 4), round(min(mine), 4)))
        return found
