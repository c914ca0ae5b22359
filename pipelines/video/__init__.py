"""Untrusted video files → clips, and clips → frames.

Raw files are opened only by ``sandbox_worker``, a process that may die; ``sandbox`` owns it. ``frames`` reads
the clips that it wrote.
"""

from pipelines.video.records import ClipRecord, ClipScores, RungRecord, image_name, rung_member
from pipelines.video.sandbox import VideoSandbox
from pipelines.video.scores import SCORE_HZ, Scores, scored_frames
from pipelines.video.settings import ClipSettings, Rung, Watermark

__all__ = [
    "SCORE_HZ",
    "ClipRecord",
    "ClipScores",
    "ClipSettings",
    "Rung",
    "RungRecord",
    "Scores",
    "VideoSandbox",
    "Watermark",
    "image_name",
    "rung_member",
    "scored_frames",
]
