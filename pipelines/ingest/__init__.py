"""The job: a table of videos and captions → a dataset of WebDataset shards, on Ray.

A unit of work is a run of ``unit_rows`` source rows; it becomes one tar and one manifest, committed by
whichever worker made them. Nothing but rows and counts passes through Ray. Running again makes only the
units that are missing.
"""

from pipelines.ingest.job import IngestReport, ingest
from pipelines.ingest.progress import IngestProgress
from pipelines.ingest.retry import retry
from pipelines.ingest.unit import IngestConfig

__all__ = ["IngestConfig", "IngestProgress", "IngestReport", "ingest", "retry"]
