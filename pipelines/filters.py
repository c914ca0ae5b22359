"""What a clip looks like in numbers, and which clips are turned away for it."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

SCORE_HZ = 8
PIXEL_STEP = 4


class FilterConfig(BaseModel):
    """Optional thresholds; a clip outside one of them is rejected by the reason named beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_seconds: float | None = None  # too_short
    max_seconds: float | None = None  # too_long
    min_motion: float | None = None  # too_still
    max_motion: float | None = None  # too_restless
    min_brightness: float | None = None  # too_dark
    max_brightness: float | None = None  # too_bright

    def reason(self, *, seconds: float, motion: float, brightness: float) -> str | None:
        """Why a clip is rejected, or None if it is kept."""
        limits = (
            (seconds, self.min_seconds, "too_short", self.max_seconds, "too_long"),
            (motion, self.min_motion, "too_still", self.max_motion, "too_restless"),
            (brightness, self.min_brightness, "too_dark", self.max_brightness, "too_bright"),
        )
        for value, low, below, high, above in limits:
            if low is not None and value < low:
                return below
            if high is not None and value > high:
                return above
        return None


class Scores:
    """Motion and brightness of one clip, gathered while its frames pass.

    ``motion`` is the mean absolute change of luma between frames an eighth of a second apart, ``brightness``
    the mean luma; both in 8-bit units, on every fourth pixel of every fourth line.
    """

    def __init__(self, fps: float) -> None:
        self._every = max(1, round(fps / SCORE_HZ))
        self._seen = 0
        self._last: npt.NDArray[np.int16] | None = None
        self._changes: list[float] = []
        self._levels: list[float] = []

    def add(self, luma: npt.NDArray[np.uint8]) -> None:
        """Take the next frame's luma plane, [height, width]."""
        if self._seen % self._every == 0:
            plane = luma[::PIXEL_STEP, ::PIXEL_STEP].astype(np.int16)
            self._levels.append(float(plane.mean()))
            if self._last is not None:
                self._changes.append(float(np.abs(plane - self._last).mean()))
            self._last = plane
        self._seen += 1

    @property
    def motion(self) -> float:
        """Zero for a clip too short to compare two frames."""
        return round(float(np.mean(self._changes)), 4) if self._changes else 0.0

    @property
    def brightness(self) -> float:
        """Mean luma, 16 (black) to 235 (white)."""
        return round(float(np.mean(self._levels)), 4) if self._levels else 0.0
