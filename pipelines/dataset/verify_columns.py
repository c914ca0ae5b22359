"""Verification of the columns beside a dataset."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pydantic import JsonValue

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.dataset.columns import (
    Column,
    column_file,
    column_source,
    current_unit_values,
    read_column,
    stored_columns,
    unit_values_file,
)
from pipelines.dataset.dataset import Dataset


def column_problems(dataset: Dataset) -> Iterator[str]:
    """What is wrong with the columns beside a dataset, one problem a line.

    A column must be readable and have a value for each sample, in order, equal to those in the files of its
    units where it has such files. A column of an earlier state of the dataset is no problem: it is not used.
    """
    for name in stored_columns(dataset.folder):
        try:
            source = column_source(dataset.folder, name)
        except AnimaticError as error:
            yield str(error)
            continue
        if source.get("dataset") != dataset.digest:
            continue
        try:
            column = read_column(dataset, name)
        except AnimaticError:
            yield f"{column_file(name)}: its keys are not those of the dataset's samples"
        else:
            yield from _differing_units(dataset, column)


def _differing_units(dataset: Dataset, column: Column) -> Iterator[str]:
    of_units = digest_of({name: value for name, value in column.source.items() if name != "dataset"})
    start = 0
    for unit, shard in enumerate(dataset.info["shards"]):
        stored = current_unit_values(dataset.folder, column.name, unit, shard, of_units)
        values = column.values.slice(start, shard["samples"])
        start += shard["samples"]
        if stored is not None and not _equal(values, stored):
            file = unit_values_file(column.name, unit)
            yield f"{column_file(column.name)}: its values are not those of {file}"


def _equal(values: pa.ChunkedArray, stored: Sequence[JsonValue]) -> bool:
    try:
        return bool(values.equals(pa.chunked_array([pa.array(stored, values.type)])))
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
