"""The job: scores of a dataset's samples, each a column beside it, on Ray actors."""

from pipelines.score.config import ScoreConfig
from pipelines.score.job import ColumnFigures, ScoreReport, score
from pipelines.score.subject_motion import clip_motion

__all__ = ["ColumnFigures", "ScoreConfig", "ScoreReport", "clip_motion", "score"]
