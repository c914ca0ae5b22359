"""What a metric is: a named computation that gives values of single clips, or of all clips together.

A metric belongs to one of four kinds, by what it reads:

========================= =====================================================================
:class:`ClipMetric`       the pixels of a real and a generated clip
:class:`NetworkMetric`    the same, and the network of the system that made the clips
:class:`FeatureMetric`    the features of one clip: vectors that an extractor makes of its pixels
:class:`SetMetric`        the features of all clips: one value, no rows
========================= =====================================================================

The first three fill columns of the rows; the value of a column over all clips is their mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.features.extractor import ChunkFeatures, ClipFeatures
from pipelines.evaluate.records import ON_REAL, Better, Values

if TYPE_CHECKING:
    from models.animator import Animator


@dataclass(frozen=True)
class Column:
    """One figure of each clip.

    Attributes:
        unit: of the values; "1" for shares and similarities.
        interval: of the mean over clips, by :mod:`pipelines.evaluate.statistics.intervals`;
            "wilson-by-source" for a share of values that are 0 or 1.
    """

    name: str
    unit: str
    better: Better
    interval: Literal["bootstrap-by-source", "wilson-by-source"] = "bootstrap-by-source"

    def on_real(self) -> Column:
        """The same measurement of the real clips: what the generated ones are compared with."""
        return Column(f"{self.name}{ON_REAL}", self.unit, "neither", self.interval)


class Metric(ABC):
    """A named computation.

    Attributes:
        name: of the metric, and of its first column or its value.
        version: of the computation. It changes whenever values of the same clips do.
        unit, better: of the value that has the metric's name.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    unit: ClassVar[str]
    better: ClassVar[Better]
    extractor: ClassVar[str | None] = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it adds to each row; none for a metric of all clips together."""
        return (Column(self.name, self.unit, self.better),)

    def details(self) -> dict[str, JsonValue]:
        """The parameters of the computation, which every value records."""
        return {}


class ClipMetric(Metric):
    """Reads the pixels of one clip."""

    @abstractmethod
    def measure(self, pair: ClipPair) -> Values:
        """The value of each column."""


class NetworkMetric(Metric):
    """Reads the network that made the clips; for bundles alone."""

    @abstractmethod
    def measure(
        self, pairs: Sequence[ClipPair], rates: Sequence[float], animator: Animator, seed: int
    ) -> list[Values]:
        """The values of each clip. What is drawn must depend on ``seed`` and the clip's key alone.

        ``rates`` are the frame rates (or strides) that the network is given.
        """


class FeatureMetric(Metric):
    """Reads the features of one clip, as ``extractor`` makes them."""

    extractor: ClassVar[str]

    @abstractmethod
    def measure(self, features: ClipFeatures) -> Values:
        """The value of each column."""


@dataclass(frozen=True)
class Reduced:
    """The value of a metric of all clips; an interval only where it is honest."""

    value: float
    low: float | None
    high: float | None
    details: dict[str, JsonValue]


class SetMetric(Metric):
    """Reads the features of all clips, as ``extractor`` makes them."""

    extractor: ClassVar[str]

    @property
    def columns(self) -> tuple[Column, ...]:
        """None: it has no value for a clip."""
        return ()

    @abstractmethod
    def reduce(self, chunks: Callable[[], Iterator[ChunkFeatures]], sources: Sequence[str]) -> Reduced:
        """The value; ``chunks`` reads the stored features of all clips again in each call, and ``sources``
        are the source videos of the clips, in the same order.

        Raises AnimaticError for fewer than two clips or features that are not finite.
        """
