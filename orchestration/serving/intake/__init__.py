"""Requests for videos: bodies received within limits, their fields and pictures checked, before anything is
stored."""

from orchestration.serving.intake.border import MOST_SMALL_BYTES, BodyBorder
from orchestration.serving.intake.limits import IntakeLimits
from orchestration.serving.intake.pictures import PictureBytes
from orchestration.serving.intake.submission import Submission, read_submission

__all__ = [
    "MOST_SMALL_BYTES",
    "BodyBorder",
    "IntakeLimits",
    "PictureBytes",
    "Submission",
    "read_submission",
]
