"""Share of clips that move."""

from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.metrics.metric import ClipMetric, Column
from pipelines.evaluate.motion import LOCAL_DETECTOR, MIN_TRAVEL
from pipelines.evaluate.records import Values


class DynamicDegree(ClipMetric):
    """Share of clips of which a part moves by at least 0.03 of the frame's side.

    1 for a clip that moves, 0 for one that does not; from 0 to 1. What moves may turn, or come back: the
    length of its path counts (:func:`pipelines.evaluate.motion.detect_motion`).
    ``dynamic_degree_on_real`` is the same of the real clips. VBench's measure of this name needs the weights
    of RAFT; this one needs none.
    """

    name = "dynamic_degree"
    unit = "1"
    better = "higher"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better, "wilson-by-source")
        return own, own.on_real()

    def measure(self, pair: ClipPair) -> Values:
        """Of both clips."""
        return {
            self.name: float(pair.motion.path >= MIN_TRAVEL),
            f"{self.name}_on_real": float(pair.motion_of_real.path >= MIN_TRAVEL),
        }

    def details(self) -> dict[str, JsonValue]:
        """The detector and its threshold."""
        return {"detector": LOCAL_DETECTOR, "threshold": MIN_TRAVEL}
