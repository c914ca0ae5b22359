"""The job: how well image and caption of each sample agree, by CLIP, on Ray actors."""

from pipelines.score.job import ScoreReport, score
from pipelines.score.unit import ScoreConfig

__all__ = ["ScoreConfig", "ScoreReport", "score"]
