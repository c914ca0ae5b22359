"""The values that a calibration of motion gives a network, the curve of what it makes of them, its error."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import AnimaticError
from models.motion import MOST_AMPLIFICATION, MOST_MOTION, MotionCalibration, rising

_QUANTILES = (0.05, 0.95)  # of the motion of the dataset's samples: what the network has seen
_LEAST = 0.02  # percent of the short side a frame; below it is noise of the measurement
_APART = 1.02  # least ratio of two points of the curve
DOUBLINGS = 4  # most, that the error is of


@dataclass(frozen=True)
class AskedMotion:
    """Motion that was asked for, and that of the clips; percent of the short side a frame."""

    asked: float
    measured: float


def usual(motions: Sequence[float], data: str) -> tuple[float, float]:
    """Little and much motion of a dataset's samples.

    Raises AnimaticError where these hardly differ.
    """
    low, high = np.quantile(motions, _QUANTILES).tolist() if motions else (0.0, 0.0)
    low = max(low, _LEAST)
    if high < 2 * low:
        raise AnimaticError(
            f"the clips of {data} move by {low:.3g} to {high:.3g} percent of the short side a frame: "
            "a calibration needs clips of which some move at least twice as much as others, or --given"
        )
    return low, high


def check_ends(ends: tuple[float, float]) -> None:
    """Raise AnimaticError unless values to give the network can be between ``ends``."""
    low, high = ends
    if not 0 < low < high <= MOST_MOTION:
        raise AnimaticError(
            f"--given {low:g} {high:g}: give the least and the most motion, above 0 and at most "
            f"{MOST_MOTION:g} percent of the short side a frame"
        )


def check_amplification(factor: float) -> None:
    """Raise AnimaticError for a factor that no calibration can have, such as nan."""
    if not 1 <= factor <= MOST_AMPLIFICATION:
        raise AnimaticError(f"--amplification {factor:g}: give a number from 1 to {MOST_AMPLIFICATION:g}")


def levels(ends: tuple[float, float], count: int) -> list[float]:
    """Values from the first to the second of ``ends``, each the same multiple of the one before."""
    return [float(level) for level in np.geomspace(*ends, count)]


def uncalibrated(amplification: float) -> MotionCalibration | None:
    """What makes a network be given the number that is asked for."""
    if amplification == 1:
        return None
    ends = (0.0, MOST_MOTION)
    return MotionCalibration(
        given=ends, measured=ends, amplification=amplification, error=0.0, clips=1, steps=1
    )


def curve(given: Sequence[float], means: Sequence[float]) -> list[tuple[float, float]]:
    """The points of the rising curve through the means, (given, measured).

    Values with the same motion are one point: at an end of the curve the value from which the motion begins
    to change, within it their mean.

    Raises AnimaticError if it does not rise.
    """
    steps: list[tuple[list[float], float]] = []
    for value, mean in zip(given, rising(means), strict=True):
        if not steps or mean > max(steps[-1][1] * _APART, steps[-1][1] + 1e-6):
            steps.append(([value], mean))
        else:
            steps[-1][0].append(value)
    if len(steps) < 2:
        listed = ", ".join(f"{mean:.3g} for {value:.3g}" for value, mean in zip(given, means, strict=True))
        raise AnimaticError(
            f"the clips do not move more where the network is given more motion (measured {listed}): train "
            "it longer, or on clips whose motion differs more"
        )
    (first, least), *between, (last, most) = steps
    middle = [(sum(values) / len(values), mean) for values, mean in between]
    return [(first[-1], least), *middle, (last[0], most)]


def doublings(offered: tuple[float, float]) -> list[float]:
    """Motions within a range, rising to its end, each twice the one before."""
    low, high = offered
    asked = [high]
    while asked[0] / 2 >= low and len(asked) <= DOUBLINGS:
        asked.insert(0, asked[0] / 2)
    return asked


def errors(tests: Sequence[AskedMotion]) -> dict[str, float | None]:
    """The largest relative errors of what was asked for, and of doublings of it."""
    twice = [
        abs(high.measured / (2 * max(low.measured, _LEAST)) - 1) for low, high in itertools.pairwise(tests)
    ]
    return {
        "error": max(abs(each.measured / each.asked - 1) for each in tests),
        "doubling_error": max(twice, default=None),
    }
