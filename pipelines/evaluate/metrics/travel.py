"""How far the moving parts of clips travel."""

from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.metrics.metric import ClipMetric, Column
from pipelines.evaluate.motion import DETECTOR
from pipelines.evaluate.records import Values


class Travel(ClipMetric):
    """Length of the path of what moves, between first and last frame, in sides of the frame.

    One least-squares optical flow over the whole clip (Lucas and Kanade 1981): from 0 up, about 1 for an
    object that crosses the frame. ``travel_on_real`` is the same of the real clips.
    """

    name = "travel"
    unit = "frame sides"
    better = "neither"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better)
        return own, own.on_real()

    def measure(self, pair: ClipPair) -> Values:
        """Of both clips."""
        return {
            self.name: pair.motion.distance,
            f"{self.name}_on_real": pair.motion_of_real.distance,
        }

    def details(self) -> dict[str, JsonValue]:
        """The detector."""
        return {"detector": DETECTOR}
