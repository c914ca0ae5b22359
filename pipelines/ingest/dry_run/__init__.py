"""What an ingest would do, found by reading its table: nothing is fetched, decoded or written."""

from pipelines.ingest.dry_run.preview import preview
from pipelines.ingest.dry_run.records import (
    Counts,
    Doubt,
    Output,
    Preview,
    PreviewColumn,
    PreviewFile,
    PreviewRow,
    Rejections,
)

__all__ = [
    "Counts",
    "Doubt",
    "Output",
    "Preview",
    "PreviewColumn",
    "PreviewFile",
    "PreviewRow",
    "Rejections",
    "preview",
]
