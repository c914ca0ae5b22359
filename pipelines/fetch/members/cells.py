"""Cells of a Parquet column of bytes, each a video.

A column is decoded page by page, so that memory depends on the largest video and not on the row group. The
rows of a unit, which come in their order, take one pass over it.
"""

import bisect
from collections.abc import Iterator
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import RejectedError
from pipelines.fetch.members.archive import BLOCK, Sink
from pipelines.fetch.members.guarded_file import GuardedFile
from pipelines.sources import MemberAddress


class ParquetCells:
    """A Parquet file, and the position in the column that was read last."""

    def __init__(self, file: GuardedFile, max_bytes: int) -> None:
        """``max_bytes``: of a cell. Raises UNREADABLE."""
        source = pa.PythonFile(file, mode="r")
        self._table = pq.ParquetFile(source, buffer_size=BLOCK, pre_buffer=False)
        self._max_bytes = max_bytes
        metadata = self._table.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self._starts = list(accumulate(counts, initial=0))
        self._column, self._group, self._next = "", -1, 0
        self._cells: Iterator[pa.Scalar] = iter(())

    def read(self, address: MemberAddress, sink: Sink) -> None:
        """See :class:`pipelines.fetch.members.archive.Archive`."""
        column, row = address.column or "", address.row or 0
        if row >= self._starts[-1]:
            raise RejectedError("missing_file", f"the table has {self._starts[-1]} rows")
        group = bisect.bisect_right(self._starts, row) - 1
        if (column, group) != (self._column, self._group) or row < self._next:
            self._begin(column, group)
        try:
            while self._next < row:
                next(self._cells)
                self._next += 1
            cell = next(self._cells)
            self._next += 1
        except StopIteration:
            raise RejectedError("unreadable_archive", f"the column ends before row {row}") from None
        if not cell.is_valid:
            raise RejectedError("missing_file", f"row {row} has nothing in {column}")
        content = memoryview(cell.as_buffer())
        if len(content) > self._max_bytes:
            raise RejectedError("too_large", f"{len(content)} bytes")
        for start in range(0, len(content), BLOCK):
            sink(bytes(content[start : start + BLOCK]))

    def _begin(self, column: str, group: int) -> None:
        paths = {self._table.schema.column(n).path: n for n in range(len(self._table.schema))}
        if column not in paths:
            raise RejectedError("missing_file", f"the table has no column {column[:200]}")
        kind = self._table.schema.column(paths[column]).physical_type
        if kind != "BYTE_ARRAY" or self._table.schema.column(paths[column]).max_repetition_level:
            raise RejectedError("unreadable_archive", f"the column {column[:200]} is not one of bytes")
        self._column, self._group, self._next = column, group, self._starts[group]
        batches = self._table.iter_batches(
            batch_size=1, row_groups=[group], columns=[column], use_threads=False
        )
        self._cells = _values(batches, column)


def _values(batches: Iterator[pa.RecordBatch], column: str) -> Iterator[pa.Scalar]:
    """The values of a column that may be a field of structures."""
    for batch in batches:
        yield from _field(batch.to_struct_array(), column)


def _field(values: pa.StructArray, path: str) -> pa.Array:
    """A field of structures within structures; names may contain dots themselves."""
    names = [field.name for field in values.type]
    name = next(name for name in names if path == name or path.startswith(f"{name}."))
    inner = pc.struct_field(values, name)
    return inner if name == path else _field(inner, path[len(name) + 1 :])
