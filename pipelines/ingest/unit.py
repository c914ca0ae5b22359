"""One unit of ingest: a run of source rows → one committed tar and manifest. This is what a worker does."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, ClassVar

from pydantic import Field, model_validator

from core.storage import Folder
from pipelines.card import CardSettings
from pipelines.dataset.clip_units import (
    counts_of,
    stored_sample,
)
from pipelines.dataset.records import RowOutcome, UnitCounts, UnitManifest, UnitSource
from pipelines.dataset.samples import Sample, StoredSample
from pipelines.dataset.unit_facts import commit_with_facts
from pipelines.dataset.units import opened_shard, read_unit, unit_name
from pipelines.fetch import WebAccess
from pipelines.ingest.samples import SampleSettings, samples_of
from pipelines.sources import LAYOUTS, ColumnNames, CsvSettings, FolderSettings, SourceRow, named_layout


class IngestConfig(SampleSettings):
    """What to read, how to cut and encode it, and where to put it."""

    # Datasets record both without them.
    may_have_credentials: ClassVar[frozenset[str]] = frozenset({"source", "videos"})

    source: str = Field(
        description="the table: a CSV, JSON, JSONL or Parquet file, a glob or folder of such files; or a "
        "folder or archives (.tar, .zip) of videos; a path or URL"
    )
    output: str = Field(description="folder or fsspec URL for the dataset")
    layout: str = Field(
        "webvid",
        description="the published table whose names of columns are the defaults of columns: "
        + ", ".join(LAYOUTS),
    )
    columns: ColumnNames = ColumnNames()
    csv: CsvSettings = CsvSettings()
    folder: FolderSettings = FolderSettings()
    where: str | None = Field(
        None,
        description="rows to take, as in dynamic_confidence > 0.5; the others are counted as filtered; "
        "null: all",
    )
    card: CardSettings = CardSettings()
    unit_rows: int = Field(256, ge=1, description="rows of one unit of work, which becomes one shard")
    workers: int | None = Field(
        None, ge=1, description="units in progress at once; null: as many as Ray has CPUs"
    )
    address: str | None = Field(None, description="Ray cluster; null: local Ray")

    @model_validator(mode="before")
    @classmethod
    def _named_by_layout(cls, values: object) -> object:
        """Take the layout's names for columns that are not named. Raises ValueError for an unknown layout."""
        if not isinstance(values, dict) or not isinstance(values.get("layout"), str):
            return values
        columns = values.get("columns", {})
        given = columns.model_dump(exclude_unset=True) if isinstance(columns, ColumnNames) else columns
        if not isinstance(given, dict):
            return values
        return {**values, "columns": {**named_layout(values["layout"]).names(), **given}}


def make_unit(
    config: IngestConfig,
    unit: int,
    rows: list[SourceRow],
    source: UnitSource,
    access: WebAccess | None = None,
) -> UnitCounts:
    """Make and commit one unit. Runs as a Ray task.

    ``source`` is what the manifest records as the unit's inputs (``IngestInputs.source_of``), ``access`` what
    web requests carry.
    """
    folder = Folder(config.output)
    outcomes: list[RowOutcome] = []
    with folder.scratch() as scratch:
        samples = _samples(config, rows, scratch, outcomes, access)
        return counts_of(commit_with_facts(folder, unit, samples, outcomes, source))


def retry_unit(
    config: IngestConfig,
    unit: int,
    reasons: Collection[str],
    access: WebAccess | None = None,
    locations: Mapping[int, str] | None = None,
) -> UnitCounts:
    """Try the rows of a unit again that were rejected for one of ``reasons``; copy the samples of all others.

    ``locations``: of the videos that are in archives, by number of row. Runs as a Ray task.
    """
    folder = Folder(config.output)
    old = read_unit(folder, unit, UnitManifest)
    rows = [
        replace(row, location=(locations or {}).get(row.row)) for row in rejected_rows(config, old, reasons)
    ]
    retried: list[RowOutcome] = []
    outcomes: list[RowOutcome] = []
    with folder.scratch() as scratch:
        new_samples = _samples(config, rows, scratch, retried, access)

        def samples(tar: BinaryIO) -> Iterator[Sample | StoredSample]:
            yield from _merged(tar, old, reasons, new_samples, retried)
            new = {outcome["row"]: outcome for outcome in retried}
            outcomes.extend(new.get(outcome["row"], outcome) for outcome in old["rows"])

        remedy = f"delete {unit_name(unit)} and run animatic ingest again"
        with opened_shard(folder, old["shard"], scratch, remedy) as tar:
            source = old.get("source", {})
            return counts_of(commit_with_facts(folder, unit, samples(tar), outcomes, source))


def rejected_rows(config: IngestConfig, unit: UnitManifest, reasons: Collection[str]) -> list[SourceRow]:
    """The rows of a unit that were rejected for one of ``reasons``, as good ones."""
    return [
        SourceRow(
            outcome["row"],
            outcome["record"],
            None,
            config.columns,
            more_captions=tuple(outcome.get("captions", ())),
        )
        for outcome in unit["rows"]
        if outcome.get("reason") in reasons
    ]


def _samples(
    config: IngestConfig,
    rows: list[SourceRow],
    scratch: Path,
    outcomes: list[RowOutcome],
    access: WebAccess | None,
) -> Iterator[Sample]:
    yield from samples_of(config, rows, scratch, outcomes, access)
    for outcome in outcomes:
        if outcome.get("reason") == "filtered":
            # A filter may leave out most of a table: the number of such a row is enough to find it there.
            outcome["record"] = {}


def _merged(
    tar: BinaryIO,
    old: UnitManifest,
    reasons: Collection[str],
    new: Iterator[Sample],
    retried: list[RowOutcome],
) -> Iterator[Sample | StoredSample]:
    """Stored samples and new ones in the order of their rows; ``new`` appends to ``retried`` row by row."""
    stored, upcoming = iter(old["samples"]), next(new, None)
    for outcome in old["rows"]:
        for _ in range(outcome["samples"]):
            yield stored_sample(tar, next(stored))
        # Other rows may have the same id: a sample is of the first row that has no outcome yet.
        is_retried = outcome.get("reason") in reasons
        while is_retried and upcoming is not None and not _has(retried, outcome["row"]):
            yield upcoming
            upcoming = next(new, None)


def _has(outcomes: list[RowOutcome], row: int) -> bool:
    return any(outcome["row"] == row for outcome in outcomes)
