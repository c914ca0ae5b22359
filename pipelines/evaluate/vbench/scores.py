"""Results of VBench-I2V → normalised scores and totals, as its leaderboard computes them.

Minima, maxima and weights are those of ``scripts/constant.py`` in Vchitect/VBench.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Pydantic checks typing.TypedDict from Python 3.12 on only.
from typing_extensions import TypedDict

Group = Literal["quality", "i2v"]


@dataclass(frozen=True)
class Dimension:
    """A dimension: its group, its weight there, and the raw scores that become 0 and 1."""

    group: Group
    weight: float
    low: float
    high: float

    def normalise(self, raw: float) -> float:
        """The share of the way from ``low`` to ``high``."""
        return (raw - self.low) / (self.high - self.low)


DIMENSIONS: Mapping[str, Dimension] = {
    "camera_motion": Dimension("i2v", 0.1, 0.0, 1.0),
    "i2v_subject": Dimension("i2v", 1.0, 0.1462, 1.0),
    "i2v_background": Dimension("i2v", 1.0, 0.2615, 1.0),
    "subject_consistency": Dimension("quality", 1.0, 0.1462, 1.0),
    "background_consistency": Dimension("quality", 1.0, 0.2615, 1.0),
    "motion_smoothness": Dimension("quality", 1.0, 0.706, 0.9975),
    "dynamic_degree": Dimension("quality", 0.5, 0.0, 1.0),
    "aesthetic_quality": Dimension("quality", 1.0, 0.0, 1.0),
    "imaging_quality": Dimension("quality", 1.0, 0.0, 1.0),
}


class DimensionScore(TypedDict):
    """The raw score of a dimension, its normalised one, and its weight within its group."""

    raw: float
    normalised: float
    weight: float


class Totals(TypedDict):
    """Weighted means of the normalised scores, and the mean of both; None where a dimension is missing.

    VBench's own script counts a missing dimension as 0.
    """

    quality: float | None
    i2v: float | None
    total: float | None


def dimension_scores(raw: Mapping[str, float]) -> dict[str, DimensionScore]:
    """The scores of the dimensions that VBench weighs, in its order."""
    return {
        name: {
            "raw": raw[name],
            "normalised": dimension.normalise(raw[name]),
            "weight": dimension.weight,
        }
        for name, dimension in DIMENSIONS.items()
        if name in raw
    }


def totals(scores: Mapping[str, DimensionScore]) -> Totals:
    """The leaderboard's three scores."""
    quality, i2v = _group_score(scores, "quality"), _group_score(scores, "i2v")
    total = None if quality is None or i2v is None else (quality + i2v) / 2
    return {"quality": quality, "i2v": i2v, "total": total}


def _group_score(scores: Mapping[str, DimensionScore], group: Group) -> float | None:
    members = [name for name, dimension in DIMENSIONS.items() if dimension.group == group]
    if not all(name in scores for name in members):
        return None
    weighted = sum(scores[name]["normalised"] * scores[name]["weight"] for name in members)
    return weighted / sum(scores[name]["weight"] for name in members)
