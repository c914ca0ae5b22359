"""The settings that ingest recorded when its format was defined: a record, never extended.

A setting that is not listed was added later, and is recorded only once it leaves its default
(:class:`core.config.identity.IdentityFormat`).
"""

from collections.abc import Mapping
from typing import Final

ORIGINAL_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "": (
        "columns",
        "where",
        "unit_rows",
        "seed",
        "short_side",
        "small",
        "fps",
        "fps_max",
        "min_frames",
        "scene_threshold",
        "clip_seconds",
        "rest_seconds",
        "max_clips",
        "condition_frames",
        "watermark",
        "filters",
        "crf",
        "preset",
        "jpeg_quality",
    ),
    "columns": ("videoid", "name", "page_dir", "contentUrl"),
    "watermark": ("box", "action", "tag"),
    "filters": (
        "min_seconds",
        "max_seconds",
        "min_motion",
        "max_motion",
        "min_brightness",
        "max_brightness",
        "min_aspect",
        "max_aspect",
        "max_text",
        "duplicate_distance",
    ),
}
