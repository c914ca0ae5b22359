"""Jobs that compute columns beside a finished dataset, one shard at a time on Ray actors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from pydantic import JsonValue

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.lock import exclusive_lock
from pipelines.cluster.actors import Worker
from pipelines.cluster.shard_jobs import Progress, ShardJob, ShardTask, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    ColumnSource,
    column_source,
    current_unit_values,
    unit_values_file,
    write_column,
)
from pipelines.dataset.dataset_record import require_unchanged

Row = TypeVar("Row")


@dataclass(frozen=True)
class WantedColumn:
    """A column to be computed: type of its values, and what they are computed from besides the dataset."""

    name: str
    type: pa.DataType
    source: ColumnSource

    @property
    def digest(self) -> str:
        """That the files of unit values record."""
        return digest_of(self.source)

    def source_with(self, dataset: Dataset) -> ColumnSource:
        """What the column records."""
        return {"dataset": dataset.digest, **self.source}


def make_columns(
    job: ShardJob,
    dataset: Dataset,
    wanted: Sequence[WantedColumn],
    worker: Callable[..., Worker[ShardTask[Row], int]],
    arguments: tuple[object, ...],
    *,
    columns: Sequence[str],
    progress: Progress,
) -> int:
    """Compute the wanted columns where they are missing; returns the number of shards done now.

    Args:
        worker: class of the actors, built from ``arguments``. Its ``make`` stores the values of every wanted
            column for one shard by ``write_unit_values``, and returns the number of samples.
        columns: of samples.parquet, for the rows of each task.
        progress: gets (samples done, samples).

    Raises AnimaticError if a worker does, if another job computes columns of this dataset, or if the dataset
    is changed meanwhile.
    """

    def is_stored(column: WantedColumn) -> bool:
        return column_source(dataset.folder, column.name) == column.source_with(dataset)

    if all(map(is_stored, wanted)):
        return 0
    with exclusive_lock(dataset.folder, "score"):
        require_unchanged(dataset.folder, dataset.digest)
        shards = list(enumerate(dataset.info["shards"]))
        finished = {
            unit
            for unit, shard in shards
            if all(_unit_values(dataset, column, unit) is not None for column in wanted)
        }
        run_by_shard(job, dataset, worker, arguments, columns=columns, finished=finished, progress=progress)
        require_unchanged(dataset.folder, dataset.digest)
        for column in wanted:
            values = pa.chunked_array(list(_values(dataset, column)), column.type).combine_chunks()
            write_column(dataset, column.name, values, column.source_with(dataset))
    return len(shards) - len(finished)


def _values(dataset: Dataset, column: WantedColumn) -> Iterator[pa.Array]:
    for unit in range(len(dataset.info["shards"])):
        values = _unit_values(dataset, column, unit)
        if values is None:
            raise AnimaticError(
                f"{dataset.folder}/{unit_values_file(column.name, unit)} is of another source or another "
                "state of the dataset: another job wrote here meanwhile; run this one again"
            )
        yield pa.array(values, column.type)


def _unit_values(dataset: Dataset, column: WantedColumn, unit: int) -> list[JsonValue] | None:
    shard = dataset.info["shards"][unit]
    return current_unit_values(dataset.folder, column.name, unit, shard, column.digest)
