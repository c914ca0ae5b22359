"""Columns beside the sources, which go with their samples."""

from collections.abc import Sequence

import pyarrow as pa

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    SIMILAR_TO,
    SIMILARITY,
    Column,
    ColumnSource,
    column_source,
    read_column,
    stored_columns,
    write_column,
)
from pipelines.reshape.plan import Source


def columns_to_carry(datasets: Sequence[Dataset], *, same_samples: bool) -> tuple[list[str], list[str]]:
    """Names of the columns that all datasets have, computed from the same; and why others are left out.

    ``same_samples``: whether the result has all samples of one dataset, in their order.
    """
    names = [set(stored_columns(dataset.folder)) for dataset in datasets]
    carried, left_out = [], []
    for name in sorted(set().union(*names)):
        lacking = [
            str(dataset.folder) for dataset, has in zip(datasets, names, strict=True) if name not in has
        ]
        if lacking:
            left_out.append(f"column {name} is left out: {lacking[0]} does not have it")
            continue
        sources = [column_source(dataset.folder, name) for dataset in datasets]
        stale = [
            dataset.folder
            for dataset, source in zip(datasets, sources, strict=True)
            if source.get("dataset") != dataset.digest
        ]
        if stale:
            left_out.append(f"column {name} is left out: that of {stale[0]} is of an earlier state")
        elif name in (SIMILAR_TO, SIMILARITY) and not same_samples:
            left_out.append(f"column {name} is left out: it compares all samples of a dataset")
        elif any(_without_dataset(source) != _without_dataset(sources[0]) for source in sources):
            left_out.append(f"column {name} is left out: it was computed differently of each dataset")
        else:
            carried.append(name)
    return carried, left_out


def carry_columns(names: Sequence[str], sources: Sequence[Source], result: Dataset) -> None:
    """Write the columns beside the result, with the values of the samples that were copied.

    Those of near-duplicates only if all samples were: one that was not may be the leader of others.

    Raises AnimaticError if a column cannot be read.
    """
    are_all = all(source.keep.all() for source in sources)
    for name in names if are_all else [each for each in names if each not in (SIMILAR_TO, SIMILARITY)]:
        columns = [read_column(source.dataset, name) for source in sources]
        values = [_kept(column, source) for column, source in zip(columns, sources, strict=True)]
        merged = pa.chunked_array([chunk for each in values for chunk in each.chunks], columns[0].values.type)
        if len(merged) != len(result):
            raise AnimaticError(
                f"column {name} has {len(merged)} values for the {len(result)} samples of {result.folder}: "
                "a source was changed meanwhile; run this again"
            )
        origin = {**_without_dataset(columns[0].source), "dataset": result.digest}
        write_column(result, name, merged.combine_chunks(), origin)


def lacks(result: Dataset, names: Sequence[str]) -> bool:
    """Whether one of the columns is missing beside the result, as after a stop before it was written."""
    return any(column_source(result.folder, name).get("dataset") != result.digest for name in names)


def _kept(column: Column, source: Source) -> pa.ChunkedArray:
    return column.values.filter(pa.array(source.keep))


def _without_dataset(source: ColumnSource) -> ColumnSource:
    return {name: value for name, value in source.items() if name != "dataset"}
