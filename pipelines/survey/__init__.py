"""A finished dataset to look at: its figures, and samples as small pictures."""

from pipelines.survey.contact import Contact, contacts
from pipelines.survey.figures import Histogram, Rate, Survey, histogram, rates, survey

__all__ = ["Contact", "Histogram", "Rate", "Survey", "contacts", "histogram", "rates", "survey"]
