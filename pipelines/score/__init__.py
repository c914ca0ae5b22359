"""The job: how well image and caption of each sample agree, by CLIP, on Ray actors."""

from pipelines.score.job import ScoreConfig, ScoreReport, score

__all__ = ["ScoreConfig", "ScoreReport", "score"]
