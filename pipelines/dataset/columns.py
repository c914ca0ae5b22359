"""Columns beside a dataset: one value for each sample, computed after ingest, as scores and captions.

Each is a Parquet file of keys and values whose metadata record what it was computed from. The dataset and its
digest stay as they are, and another model's column replaces the one before. While a job computes a column,
every unit of the dataset has a file of values; they stay, so that a changed unit alone is computed again.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import JsonValue
from typing_extensions import TypedDict

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset import Dataset
from pipelines.dataset.motion import MOTION_COURSE, SUBJECT_MOTION
from pipelines.dataset.record_files import DamagedRecordError, parse_record
from pipelines.dataset.records import ShardRecord
from pipelines.dataset.rows import HELD_ROWS, HeldRows, Rows, StoredRows, have_same_keys
from pipelines.dataset.tables import GROUP_ROWS

ColumnSource = dict[str, str]

COLUMNS = "columns"
EARLIER_SCORES = "similarity"  # the folder of unit values of earlier versions
CLIP_SIMILARITY = "clip_similarity"
SIMILAR_TO, SIMILARITY = "similar_to", "similarity"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Column:
    """A value of every sample in the dataset's order, null where a sample has none.

    Attributes:
        rows: its table, of which no more is read than is asked for: key, and a column of this name.
        source: what they were computed from: the dataset's digest, a model, settings.
        digest: of the source.
    """

    name: str
    type: pa.DataType
    rows: Rows
    source: ColumnSource
    digest: str

    @property
    def values(self) -> pa.ChunkedArray:
        """All values, in memory."""
        return self.rows.table()[self.name]

    def batches(self) -> Iterator[pa.Array]:
        """The values in order, some at a time."""
        return (batch.column(0) for batch in self.rows.batches([self.name]))


class UnitValues(TypedDict):
    """columns/NAME/unit-….json: sha256 of the shard, digest of the source, and a value for each sample."""

    shard: str
    source: str
    values: list[JsonValue]


def column_file(name: str) -> str:
    """Name of a column's file. Raises AnimaticError if a column cannot have this name."""
    if not _NAME.fullmatch(name):
        raise AnimaticError(
            f"a column cannot be named {name!r:.80}: use up to 64 lower-case letters, digits and "
            "underscores, a letter first"
        )
    # The first column of all, which has its file beside the others' folder.
    return f"{name}{_SUFFIX}" if name == CLIP_SIMILARITY else f"{COLUMNS}/{name}{_SUFFIX}"


def unit_values_file(name: str, unit: int) -> str:
    """Name of the file of a unit's values."""
    return f"{COLUMNS}/{name}/unit-{unit:06d}.json"


def earlier_scores_file(unit: int) -> str:
    """Name of the file of a unit's scores in earlier versions."""
    return f"{EARLIER_SCORES}/unit-{unit:06d}.json"


def columns_with_units(folder: Folder) -> list[str]:
    """Names of the columns of which units have files of values, finished or not."""
    return [name for name in folder.names(COLUMNS) if _NAME.fullmatch(name)]


def stored_columns(folder: Folder) -> list[str]:
    """Names of the columns that a dataset has."""
    files = [name.removesuffix(_SUFFIX) for name in folder.names(COLUMNS) if name.endswith(_SUFFIX)]
    named = {name for name in files if _NAME.fullmatch(name)}
    if folder.exists(column_file(CLIP_SIMILARITY)):
        named.add(CLIP_SIMILARITY)
    return sorted(named)


def write_column(dataset: Dataset, name: str, values: pa.Array, source: ColumnSource) -> None:
    """Write a value for each sample of a dataset, in order, and their ``source``."""
    table = pa.table({"key": dataset.samples["key"].combine_chunks(), name: values})
    _write(dataset.folder, name, table, source)


def read_column(dataset: Dataset, name: str) -> Column:
    """A column of a dataset. Raises AnimaticError if it is missing, damaged, or of an earlier state."""
    if not dataset.folder.exists(column_file(name)):
        known = ", ".join(stored_columns(dataset.folder)) or "none"
        raise AnimaticError(
            f"{dataset.folder} has no column {name} beside it (it has: {known}); "
            f"{_remedy(dataset.folder, name)}"
        )
    rows, schema = _open(dataset.folder, name, len(dataset) > HELD_ROWS)
    source = _source(schema)
    if source.get("dataset") != dataset.digest or not have_same_keys(rows, dataset.rows):
        raise AnimaticError(
            f"{dataset.folder}/{column_file(name)} is of an earlier state of the dataset: "
            f"{_remedy(dataset.folder, name)}"
        )
    return Column(name, schema.field(name).type, rows, source, digest_of(source))


def column_source(folder: Folder, name: str) -> ColumnSource:
    """What the stored values were computed from; empty if there are none."""
    return _source(_open(folder, name, True)[1]) if folder.exists(column_file(name)) else {}


def columns_follow_takedown(dataset: Dataset, before: str | None) -> None:
    """Remove the values of samples that a dataset no longer has.

    Columns that were of its state ``before``, a digest, are of the present state then; not so those of
    near-duplicates, if one of these has lost the sample that it is similar to.

    Raises AnimaticError if a column is damaged.
    """
    keys = dataset.samples["key"]
    for name in stored_columns(dataset.folder):
        table = _read(dataset.folder, name)
        source = _source(table.schema)
        kept = table.filter(pc.is_in(table["key"], value_set=keys.combine_chunks())).combine_chunks()
        is_current = source.get("dataset") == before and kept["key"].equals(keys)
        if is_current and not (name in (SIMILAR_TO, SIMILARITY) and _has_lost_leaders(dataset)):
            source["dataset"] = dataset.digest
        if len(kept) < len(table) or source != _source(table.schema):
            _write(dataset.folder, name, kept, source)


def write_unit_values(
    folder: Folder, name: str, unit: int, shard: ShardRecord, source: str, values: list[JsonValue]
) -> None:
    """Store the values of a unit's samples. ``source`` is the digest of the column's source."""
    record: UnitValues = {"shard": shard["sha256"], "source": source, "values": values}
    folder.write(unit_values_file(name, unit), canonical_json(record))


def current_unit_values(
    folder: Folder, name: str, unit: int, shard: ShardRecord, source: str
) -> list[JsonValue] | None:
    """Values of a unit; None if they are missing, damaged, or of another shard or another source."""
    stored = read_unit_values(folder, name, unit)
    if stored is None or (stored["shard"], stored["source"]) != (shard["sha256"], source):
        return None
    return stored["values"] if len(stored["values"]) == shard["samples"] else None


def read_unit_values(folder: Folder, name: str, unit: int) -> UnitValues | None:
    """Values of a unit in whatever state; None if they are missing or damaged."""
    file = unit_values_file(name, unit)
    try:
        return parse_record(UnitValues, folder.read(file), f"{folder}/{file}", "compute the column again")
    except (FileNotFoundError, DamagedRecordError):
        return None


def _remedy(folder: Folder, name: str) -> str:
    if name in (SIMILAR_TO, SIMILARITY):
        return f"run `animatic similar {folder}`"
    if name in (SUBJECT_MOTION, MOTION_COURSE):
        return f"run `animatic score {folder} --metrics subject_motion`"
    verb = "score" if name == CLIP_SIMILARITY else "score` or `animatic caption"
    return f"run `animatic {verb} {folder}`"


def _has_lost_leaders(dataset: Dataset) -> bool:
    """Whether a sample is recorded as similar to one that the dataset does not have (any more)."""
    if not dataset.folder.exists(column_file(SIMILAR_TO)):
        return True
    table, keys = _read(dataset.folder, SIMILAR_TO), dataset.samples["key"].combine_chunks()
    remaining = table.filter(pc.is_in(table["key"], value_set=keys))[SIMILAR_TO].drop_null()
    return not pc.all(pc.is_in(remaining, value_set=keys), min_count=0).as_py()


def _write(folder: Folder, name: str, table: pa.Table, source: ColumnSource) -> None:
    buffer = io.BytesIO()
    # Captions are read a few at a time; numbers are not.
    group_rows = None if pa.types.is_floating(table.schema.types[1]) else GROUP_ROWS
    pq.write_table(table.replace_schema_metadata(source), buffer, group_rows, compression="zstd")
    folder.write(column_file(name), buffer.getvalue())


def _read(folder: Folder, name: str) -> pa.Table:
    return _open(folder, name, False)[0].table()


def _open(folder: Folder, name: str, in_parts: bool) -> tuple[Rows, pa.Schema]:
    """The table of a column, to be read in parts or held in memory, and the schema of its file."""
    file, remedy = f"{folder}/{column_file(name)}", "delete it and compute the column again"
    try:
        source = partial(_file, folder, name)
        schema = pq.read_schema(source())
        if schema.names != ["key", name]:
            raise AnimaticError(f"{file} has other columns; {remedy}")
        rows = StoredRows(source, schema) if in_parts else HeldRows(pq.read_table(source()))
    except pa.ArrowInvalid as error:
        raise AnimaticError(f"{file} cannot be read ({error}); {remedy}") from error
    return rows, schema


def _file(folder: Folder, name: str) -> Path | io.BytesIO:
    """The file of a column where it is local, else its content."""
    path = folder.local_path
    return path / column_file(name) if path is not None else io.BytesIO(folder.read(column_file(name)))


def _source(schema: pa.Schema) -> ColumnSource:
    return {k.decode(): v.decode() for k, v in (schema.metadata or {}).items() if k != b"ARROW:schema"}
