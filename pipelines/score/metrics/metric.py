"""What a metric is: something measured in every sample, whose values are columns beside the dataset."""

from collections.abc import Collection, Sequence
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import TypedDict

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.dataset.columns import ColumnSource
from pipelines.video.frames import Frames

Plane = npt.NDArray[np.uint8]
# A number, or the numbers of the parts of a clip.
Value = float | list[float] | None


class ScoredRow(TypedDict):
    """The columns of samples.parquet that scoring reads; those of the mp4 are None for images alone."""

    key: str
    shard: str
    caption: str
    frames: int
    fps: float
    jpg_offset: int
    jpg_size: int
    mp4_offset: int | None
    mp4_size: int | None


class Frame(Protocol):
    """A picture of a sample: its stored image, or a frame of its clip."""

    @property
    def luma(self) -> Plane:
        """[height, width] as it is stored."""
        ...

    @property
    def whole(self) -> Frames:
        """In colour as it is stored, [height, width, 3]."""
        ...

    def rgb(self, side: int) -> Frames:
        """Cropped to a square and resized, [side, side, 3]."""
        ...


class Observer(Protocol):
    """What a metric keeps of one sample while its frames pass."""

    @property
    def wanted(self) -> Collection[int]:
        """Numbers of the frames that it takes; of a metric of images, 0 alone."""
        ...

    def add(self, frame: Frame) -> None:
        """Take the next of the wanted frames."""
        ...


Observed = TypeVar("Observed", bound=Observer)


class Metric(Protocol[Observed]):
    """One of the metrics. Built cheaply: what is large is loaded when first needed.

    Attributes:
        reads: the stored image, or frames of the clip.
        suits_images: whether it measures samples that are an image without a clip.
    """

    reads: Literal["image", "clip"]
    suits_images: bool

    def columns(self) -> list[WantedColumn]:
        """Its columns, with what they are computed from. Raises AnimaticError if a model cannot be read."""
        ...

    def observer(self, row: ScoredRow) -> Observed:
        """For one sample."""
        ...

    def values(self, observed: Sequence[Observed]) -> list[tuple[Value, ...]]:
        """Of every observed sample a value for each column, None where there is none to measure."""
        ...


def column_of(name: str, source: ColumnSource) -> WantedColumn:
    """A column of numbers."""
    return WantedColumn(name, pa.float32(), source)


def evenly(frames: int, count: int) -> list[int]:
    """Numbers of up to ``count`` frames: the centres of as many equal parts of a clip, 0 of an image."""
    count = max(1, min(frames, count))
    return [int((part + 0.5) * max(frames, 1) / count) for part in range(count)]
