"""One unit of ingest: a run of source rows → one committed tar and manifest. This is what a worker does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field

from core.storage import Folder
from pipelines.dataset.shard_writer import Sample, StoredSample
from pipelines.dataset.units import commit_unit, count_outcomes, opened_shard, read_unit, stored_sample
from pipelines.ingest.samples import SampleSettings, samples_of
from pipelines.sources import ColumnNames, SourceRow


class IngestConfig(SampleSettings):
    """What to read, how to cut and encode it, and where to put it."""

    source: str = Field(
        description="the table: a CSV, JSONL or Parquet file, a glob or folder of such files, or a URL"
    )
    output: str = Field(description="folder or fsspec URL for the dataset")
    columns: ColumnNames = ColumnNames()
    where: str | None = Field(
        None,
        description="rows to take, as in dynamic_confidence > 0.5; the others are counted as filtered; "
        "null: all",
    )
    unit_rows: int = Field(256, ge=1, description="rows of one unit of work, which becomes one shard")
    workers: int | None = Field(
        None, ge=1, description="units in progress at once; null: as many as Ray has CPUs"
    )
    address: str | None = Field(None, description="Ray cluster; null: local Ray")


def make_unit(
    config: IngestConfig, unit: int, rows: list[SourceRow], source: dict[str, Any]
) -> dict[str, Any]:
    """Make and commit one unit; returns its counts. Runs as a Ray task.

    ``source`` says in the manifest what the unit is made from (``Plan.source_of``).
    """
    folder = Folder(config.output)
    outcomes: list[dict[str, Any]] = []
    with folder.scratch() as scratch:
        samples = _samples(config, rows, scratch, outcomes)
        manifest = commit_unit(folder, unit, samples, outcomes, source=source)
    return _counts(manifest)


def remake_unit(config: IngestConfig, unit: int, reasons: list[str]) -> dict[str, Any]:
    """Try the unit's rows again that were rejected for one of ``reasons``; copy the samples of all others.

    Returns the unit's counts. Runs as a Ray task.
    """
    folder = Folder(config.output)
    old = read_unit(folder, unit)
    rows = [
        SourceRow(outcome["row"], outcome["record"], None, config.columns)
        for outcome in old["rows"]
        if outcome.get("reason") in reasons
    ]
    retried: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    with folder.scratch() as scratch:
        fresh = _samples(config, rows, scratch, retried)

        def samples(tar: BinaryIO) -> Iterator[Sample | StoredSample]:
            yield from _merged(tar, old, reasons, fresh)
            new = {outcome["row"]: outcome for outcome in retried}
            outcomes.extend(new.get(outcome["row"], outcome) for outcome in old["rows"])

        with opened_shard(folder, old, scratch) as tar:
            manifest = commit_unit(folder, unit, samples(tar), outcomes, source=old.get("source", {}))
    return _counts(manifest)


def _samples(
    config: IngestConfig, rows: list[SourceRow], scratch: Path, outcomes: list[dict[str, Any]]
) -> Iterator[Sample]:
    yield from samples_of(config, rows, scratch, outcomes)
    for outcome in outcomes:
        if outcome.get("reason") == "filtered":
            # A filter may leave most of a table out: its number is enough to find such a row there.
            outcome["record"] = {}


def _merged(
    tar: BinaryIO, old: dict[str, Any], reasons: list[str], fresh: Iterator[Sample]
) -> Iterator[Sample | StoredSample]:
    """Stored samples and fresh ones in the order of their rows."""
    stored, upcoming = iter(old["samples"]), next(fresh, None)
    for outcome in old["rows"]:
        for _ in range(outcome["samples"]):
            yield stored_sample(tar, next(stored))
        # A row that was not tried again may have the same id: one without a caption, say.
        again = outcome.get("reason") in reasons
        while again and upcoming is not None and upcoming.info["source_id"] == outcome["source_id"]:
            yield upcoming
            upcoming = next(fresh, None)


def _counts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**count_outcomes(manifest["rows"]), "bytes": manifest["shard"]["bytes"]}
