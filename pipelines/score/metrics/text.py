"""``text``: how much of the picture is overlaid text, as ingest measures it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.cluster.column_jobs import WantedColumn
from pipelines.score.metrics.metric import Frame, Metric, ScoredRow, Value, column_of
from pipelines.video import SCORE_HZ, Scores, scored_frames

_SOURCE = {"method": "ingest-strokes/1"}
_SHORTEST = 9  # frames that are looked at; what stays in place for less than a second may be anything


@dataclass
class TextOfClip:
    """The search for text in one clip."""

    wanted: range
    scores: Scores = field(default_factory=lambda: Scores(SCORE_HZ))

    def add(self, frame: Frame) -> None:
        """Search the next frame."""
        self.scores.add(frame.luma)


class ScreenText(Metric[TextOfClip]):
    """Largest share of the picture, 0 to 1, that looks like overlaid text at any moment.

    The measure of ingest's ``text``, of the stored clip instead of the source video, for datasets that were
    ingested without it. None of clips shorter than a second.
    """

    reads = "clip"
    suits_images = False

    def columns(self) -> list[WantedColumn]:
        """``screen_text``."""
        return [column_of("screen_text", _SOURCE)]

    def observer(self, row: ScoredRow) -> TextOfClip:
        """For one sample."""
        return TextOfClip(scored_frames(row["frames"], row["fps"]))

    def values(self, observed: Sequence[TextOfClip]) -> list[tuple[Value, ...]]:
        """The share of each."""
        return [(each.scores.text if len(each.wanted) >= _SHORTEST else None,) for each in observed]
