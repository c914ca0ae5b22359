"""From the subject motion that is asked for to the value that a network is given for it.

A network is trained with the motion that was measured in its clips, but what it generates for a value moves
by another amount. A calibration measures that amount for a few values, and its inverse corrects what is
asked for. Imports no torch.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from core.config.section import Section

# Percent of the short side a frame; more is no motion that the flow could measure.
MOST_MOTION = 100.0
MOST_AMPLIFICATION = 20.0


class MotionCalibration(Section):
    """What a network's clips move by, measured: see ``animatic calibrate-motion``."""

    model_config = ConfigDict(allow_inf_nan=False)

    given: tuple[float, ...] = Field(description="values that the network was given, rising")
    measured: tuple[float, ...] = Field(
        description="mean subject motion of its clips at each, percent of the short side a frame"
    )
    amplification: float = Field(
        1.0,
        ge=1,
        le=MOST_AMPLIFICATION,
        description="factor on what the motion changes of a prediction without it, by a second pass; 1: none",
        exclude_if=lambda amplification: amplification == 1,
    )
    error: float = Field(
        ge=0, description="largest relative difference of asked and measured motion, on other pictures"
    )
    doubling_error: float | None = Field(
        None,
        ge=0,
        description="the same of the motion for twice a value to twice that for the value; null: the range "
        "has no two such values",
    )
    clips: int = Field(gt=0, description="of which each mean is")
    steps: int = Field(gt=0, description="sampling steps of these")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        for name, values in (("given", self.given), ("measured", self.measured)):
            if len(values) < 2 or values[0] < 0 or any(high <= low for low, high in pairwise(values)):
                raise ValueError(
                    f"motion_calibration.{name} must be two or more rising numbers, got {values}"
                )
        if len(self.given) != len(self.measured):
            raise ValueError("motion_calibration.given and motion_calibration.measured differ in length")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Least and most motion that can be asked for."""
        return self.measured[0], self.measured[-1]

    def value_for(self, motion: float) -> float:
        """What the network is given to move by ``motion``, within :attr:`range`; linear between points."""
        return interpolated(motion, self.measured, self.given)


def interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The value at ``x`` of the line through the points, whose ``xs`` rise; outside, of the nearest end."""
    if x <= xs[0]:
        return ys[0]
    for (left, low), (right, high) in pairwise(zip(xs, ys, strict=True)):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return ys[-1]


def rising(values: Sequence[float]) -> list[float]:
    """The sequence without a fall that is nearest to ``values`` in the sum of squares.

    Values that fall are replaced by their mean (pool adjacent violators: Ayer et al. 1955).
    """
    blocks: list[tuple[float, int]] = []  # mean, length
    for value in values:
        mean, length = value, 1
        while blocks and blocks[-1][0] >= mean:
            before, longer = blocks.pop()
            mean = (before * longer + mean * length) / (longer + length)
            length += longer
        blocks.append((mean, length))
    return [mean for mean, length in blocks for _ in range(length)]
