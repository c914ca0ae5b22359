"""The shards of a dataset in little memory: seventy bytes each, where a dictionary takes five hundred."""

from collections.abc import Iterator, Sequence
from typing import cast, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.records import ShardRecord

_SCHEMA = pa.schema(
    [("name", pa.string()), ("sha256", pa.binary(32)), ("bytes", pa.int64()), ("samples", pa.int64())]
)
_BATCH = 1 << 14


class ShardList(Sequence[ShardRecord]):
    """An immutable sequence of records, each of which is made when it is asked for."""

    def __init__(self, shards: Sequence[ShardRecord]) -> None:
        """``shards`` in their order."""
        if isinstance(shards, ShardList):
            self._table: pa.Table = shards._table
            return
        batches = [_batch(shards[start : start + _BATCH]) for start in range(0, len(shards), _BATCH)]
        self._table = pa.Table.from_batches(batches, _SCHEMA).combine_chunks()

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> ShardRecord: ...

    @overload
    def __getitem__(self, index: slice) -> "list[ShardRecord]": ...

    def __getitem__(self, index: int | slice) -> "ShardRecord | list[ShardRecord]":
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return next(self._records(self._table.slice(numbers, 1)))
        return list(self._records(self._table.take(pa.array(numbers, pa.int64()))))

    def __iter__(self) -> Iterator[ShardRecord]:
        for start in range(0, len(self), _BATCH):
            yield from self._records(self._table.slice(start, _BATCH))

    def named(self, name: str) -> ShardRecord:
        """The shard of this name. Raises KeyError if there is none."""
        number = int(pc.index(self._table["name"], name).as_py())
        if number < 0:
            raise KeyError(name)
        return self[number]

    @property
    def samples(self) -> npt.NDArray[np.int64]:
        """Number of samples of each shard."""
        return self._table["samples"].to_numpy()

    @property
    def bytes(self) -> npt.NDArray[np.int64]:
        """Size of each shard."""
        return self._table["bytes"].to_numpy()

    @staticmethod
    def _records(table: pa.Table) -> Iterator[ShardRecord]:
        for record in table.to_pylist():
            yield cast(ShardRecord, {**record, "sha256": record["sha256"].hex()})


def _batch(shards: Sequence[ShardRecord]) -> pa.RecordBatch:
    columns = [
        [shard["name"] for shard in shards],
        [bytes.fromhex(shard["sha256"]) for shard in shards],
        [shard["bytes"] for shard in shards],
        [shard["samples"] for shard in shards],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
