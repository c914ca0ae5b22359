"""A finished dataset in figures, what limits would keep of it, and previews of its samples."""

from pipelines.survey.distributions import QUANTILES, Distribution, Kept, Spans, distributions
from pipelines.survey.drawn_clips import DrawnClips, draw_clips
from pipelines.survey.figures import Histogram, RejectedExample, Survey, histogram, survey, unit_of
from pipelines.survey.keeping import Keeping, count_kept, parse_limits
from pipelines.survey.previews import SamplePreview, preview_samples
from pipelines.survey.rates import Rate, rates
from pipelines.survey.texts import CaptionFigures, LabelFigures

__all__ = [
    "QUANTILES",
    "CaptionFigures",
    "Distribution",
    "DrawnClips",
    "Histogram",
    "Keeping",
    "Kept",
    "LabelFigures",
    "Rate",
    "RejectedExample",
    "SamplePreview",
    "Spans",
    "Survey",
    "count_kept",
    "distributions",
    "draw_clips",
    "histogram",
    "parse_limits",
    "preview_samples",
    "rates",
    "survey",
    "unit_of",
]
