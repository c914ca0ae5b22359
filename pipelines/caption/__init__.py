"""The job: clips are captioned by a local image- or video-text model of transformers, on Ray actors."""

from pipelines.caption.config import CaptionConfig
from pipelines.caption.job import CaptionReport, caption

__all__ = ["CaptionConfig", "CaptionReport", "caption"]
