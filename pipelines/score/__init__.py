"""The job: scores of a dataset's samples, each a column beside it, on Ray actors."""

from pipelines.score.config import ScoreConfig
from pipelines.score.job import ColumnFigures, ScoreReport, score

__all__ = ["ColumnFigures", "ScoreConfig", "ScoreReport", "score"]
