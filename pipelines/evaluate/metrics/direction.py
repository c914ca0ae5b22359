"""Direction of motion against the caption."""

import re

from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.metrics.metric import ClipMetric, Column
from pipelines.evaluate.motion import DETECTOR, DIRECTIONS, Direction
from pipelines.evaluate.records import Values


class DirectionOfMotion(ClipMetric):
    """Share of clips that move in the direction that their caption names: left, right, up or down.

    1 for a clip that does, 0 for one that moves elsewhere or not at all, None for a caption that names no
    direction or several. From 0 to 1; guessing gives 0.25. ``direction_on_real`` is the same of the real
    clips: how often the detector (:func:`pipelines.evaluate.motion.detect_motion`) finds the direction
    where it is known, which bounds what can be believed of the generated ones.
    """

    name = "direction"
    unit = "1"
    better = "higher"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the generated and of the real clip."""
        own = Column(self.name, self.unit, self.better, "wilson-by-source")
        return own, own.on_real()

    def measure(self, pair: ClipPair) -> Values:
        """Of both clips."""
        expected = caption_direction(pair.clip.caption)
        if expected is None:
            return dict.fromkeys((self.name, f"{self.name}_on_real"))
        return {
            self.name: float(pair.motion.direction == expected),
            f"{self.name}_on_real": float(pair.motion_of_real.direction == expected),
        }

    def details(self) -> dict[str, JsonValue]:
        """The detector, and what guessing gives."""
        return {"detector": DETECTOR, "chance": 1 / len(DIRECTIONS)}


def caption_direction(caption: str) -> Direction | None:
    """The one direction that a caption names, or None if it names none or several."""
    named = {word for word in DIRECTIONS if re.search(rf"\b{word}\b", caption, re.IGNORECASE)}
    return named.pop() if len(named) == 1 else None
