"""Preference studies: people compare the clips of two or more systems, on a page that works from a folder."""

from pipelines.evaluate.study.design import StudySettings
from pipelines.evaluate.study.make import MadeStudy, make_study
from pipelines.evaluate.study.records import QUESTIONS, Question, Rate, StudyResult, StudySystem
from pipelines.evaluate.study.score import read_study, score_study

__all__ = [
    "QUESTIONS",
    "MadeStudy",
    "Question",
    "Rate",
    "StudyResult",
    "StudySettings",
    "StudySystem",
    "make_study",
    "read_study",
    "score_study",
]
