"""The job: a table of videos and captions → a dataset of WebDataset shards, on Ray.

A unit of work is a run of ``unit_rows`` source rows; it becomes one tar and one manifest, which the worker
commits. Only rows and counts pass through Ray. A second run makes only the units that are missing. The
package is entered through the names below, and ``timings`` for the rates of the work.
"""

from pipelines.ingest.dry_run import Preview, preview
from pipelines.ingest.job import IngestReport, ingest
from pipelines.ingest.progress import IngestProgress
from pipelines.ingest.retry_rejected import retry
from pipelines.ingest.source_record import RecordedTable, recorded_table
from pipelines.ingest.unit import IngestConfig

__all__ = [
    "IngestConfig",
    "IngestProgress",
    "IngestReport",
    "Preview",
    "RecordedTable",
    "ingest",
    "preview",
    "recorded_table",
    "retry",
]
