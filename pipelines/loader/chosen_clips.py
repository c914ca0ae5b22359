"""A selection applied to a dataset: which of its clips pass, and which columns beside it decide that."""

import itertools
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    CLIP_SIMILARITY,
    SIMILAR_TO,
    Column,
    column_source,
    read_column,
    stored_columns,
)
from pipelines.dataset.limits import at_least, at_most
from pipelines.dataset.tables import SAMPLES_SCHEMA
from pipelines.loader.row_set import RowSet, RowSetBuilder
from pipelines.loader.selection import Selection

# The numbers that samples.parquet has of every clip, apart from where its members are stored.
_NUMBERS = [
    field.name
    for field in SAMPLES_SCHEMA
    if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    and not field.name.endswith(("_offset", "_size"))
]


def passing_clips(
    dataset: Dataset, selection: Selection, columns: Mapping[str, Column] | None = None
) -> RowSet:
    """The samples that pass; ``columns`` are the selection's, where they have been read before.

    Raises AnimaticError if the selection needs a column that the dataset lacks.
    """
    columns = selection_columns(dataset, selection) if columns is None else columns
    chosen = RowSet.all(len(dataset))
    if selection.skip_duplicates:
        chosen &= _others(dataset, dataset.duplicates["key"].combine_chunks())
    if selection.skip_similar:
        chosen &= _marked(batch.is_null() for batch in columns[SIMILAR_TO].batches())
    if selection.min_clip_similarity is not None:
        values = columns[CLIP_SIMILARITY].batches()
        chosen &= _marked(at_least(batch, selection.min_clip_similarity) for batch in values)
    for passes, limits in ((at_least, selection.min), (at_most, selection.max)):
        for name, limit in limits.items():
            compared = _numbers(dataset, name, columns.get(name))
            chosen &= _marked(map(passes, compared, itertools.repeat(limit)))
    return chosen


def number_columns(dataset: Dataset) -> list[str]:
    """The columns that ``min`` and ``max`` can compare: those of samples.parquet, then those beside it.

    Columns of an earlier state of the dataset are left out. Raises AnimaticError if one is damaged.
    """
    folder = dataset.folder
    current = [n for n in stored_columns(folder) if column_source(folder, n).get("dataset") == dataset.digest]
    return [*_NUMBERS, *(name for name in current if _is_number(read_column(dataset, name).type))]


def numbers(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """The values of a column that ``min`` and ``max`` can compare, null where a sample has none.

    Raises AnimaticError if there is no such column.
    """
    if name in _NUMBERS:
        parts = [batch.column(0) for batch in dataset.rows.batches([name])]
        return pa.chunked_array(parts, SAMPLES_SCHEMA.field(name).type)
    column = _beside(dataset, name)
    if not _is_number(column.type):
        raise AnimaticError(f"data.selection: column {name} of {dataset.folder} has no numbers to compare")
    return column.values


def columns_beside(selection: Selection) -> list[str]:
    """Names of the columns beside a dataset that it reads besides the similarity of image and caption."""
    similar = {SIMILAR_TO} if selection.skip_similar else set()
    return sorted(similar | ({*selection.min, *selection.max} - set(_NUMBERS)))


def selection_columns(dataset: Dataset, selection: Selection) -> dict[str, Column]:
    """The columns beside the dataset that the selection compares, by name.

    Raises AnimaticError if the dataset lacks one.
    """
    columns = {name: _beside(dataset, name) for name in columns_beside(selection)}
    if selection.min_clip_similarity is not None:
        columns[CLIP_SIMILARITY] = read_column(dataset, CLIP_SIMILARITY)
    return columns


def digest_before(folder: Folder, column: str, dataset: str) -> str:
    """The digest of a stored column's source, had it been of the dataset's state ``dataset``."""
    return digest_of({**column_source(folder, column), "dataset": dataset})


def _beside(dataset: Dataset, name: str) -> Column:
    stored = stored_columns(dataset.folder)
    # Of the column of similar clips, the error of reading it names the job that computes it.
    if name not in stored and name != SIMILAR_TO:
        raise AnimaticError(
            f"data.selection: dataset {dataset.folder} has no column {name!r:.80}; it has "
            f"{', '.join(sorted({*_NUMBERS, *stored}))}; `animatic score` computes others"
        )
    return read_column(dataset, name)


def _others(dataset: Dataset, keys: pa.Array) -> RowSet:
    """The samples without one of these keys, which are in the dataset's order."""
    passed = 0

    def marks() -> Iterator[pa.Array]:
        nonlocal passed
        for batch in dataset.rows.batches(["key"]):
            # No more of them than it has rows can be in a batch.
            found = pc.is_in(batch.column(0), value_set=keys.slice(passed, len(batch)))
            passed += found.true_count
            yield pc.invert(found)

    others = _marked(marks())
    if passed < len(keys):
        raise AnimaticError(
            f"{dataset.folder}/duplicates.parquet names {len(keys)} samples, but only {passed} of these are "
            "in the dataset, in its order; delete dataset.json and run ingest again"
        )
    return others


def _marked(marks: Iterable[pa.Array]) -> RowSet:
    """The rows that a column of booleans marks."""
    builder = RowSetBuilder()
    for batch in marks:
        builder.add(batch.to_numpy(zero_copy_only=False))
    return builder.built()


def _numbers(dataset: Dataset, name: str, column: Column | None) -> Iterable[pa.Array]:
    if column is None:
        return (batch.column(0) for batch in dataset.rows.batches([name]))
    if not _is_number(column.type):
        raise AnimaticError(f"data.selection: column {name} of {dataset.folder} has no numbers to compare")
    return column.batches()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
