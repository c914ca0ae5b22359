"""One unit of ingest: a run of source rows → one committed tar and manifest. This is what a worker does."""

from typing import Any

from pydantic import Field

from pipelines.samples import SampleSettings, samples_of
from pipelines.shards import commit_unit
from pipelines.sources import SourceRow
from pipelines.storage import Folder


class IngestConfig(SampleSettings):
    """What to read, how to cut and encode it, and where to put it."""

    source: str  # the table: a CSV file with WebVid's columns
    output: str  # the dataset: a folder or fsspec URL
    unit_rows: int = Field(256, ge=1)
    workers: int | None = Field(None, ge=1)  # units in progress at once; None takes every CPU that Ray has
    address: str | None = None  # of a Ray cluster; None starts Ray on this machine


def make_unit(config: IngestConfig, unit: int, rows: list[SourceRow]) -> list[dict[str, Any]]:
    """Make and commit one unit; returns the outcome of every row. Runs as a Ray task."""
    folder = Folder(config.output)
    outcomes: list[dict[str, Any]] = []
    with folder.scratch() as scratch:
        commit_unit(folder, unit, samples_of(config, rows, scratch, outcomes), outcomes)
    return [{**outcome, "record": {}} for outcome in outcomes]
