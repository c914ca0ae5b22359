"""A finished dataset in figures, and previews of its samples."""

from pipelines.survey.figures import Histogram, RejectedExample, Survey, histogram, survey
from pipelines.survey.previews import SamplePreview, preview_samples
from pipelines.survey.rates import Rate, rates

__all__ = [
    "Histogram",
    "Rate",
    "RejectedExample",
    "SamplePreview",
    "Survey",
    "histogram",
    "preview_samples",
    "rates",
    "survey",
]
