"""Untrusted video files → clips, and clips → frames.

Raw files are opened only by ``sandbox_worker``, a process that may die; ``sandbox`` owns it. ``frames`` reads
the clips that it wrote.
"""

from pipelines.video.records import ClipRecord, ClipScores, image_name
from pipelines.video.sandbox import VideoSandbox
from pipelines.video.settings import ClipSettings, Watermark

__all__ = ["ClipRecord", "ClipScores", "ClipSettings", "VideoSandbox", "Watermark", "image_name"]
