"""A table with one row for each sample: some cells of a row, columns in batches, or the whole.

A small table is in memory. Of a large one only what is asked for is decoded, a row group at a time: opening a
table of a hundred million rows takes no longer than its digest, and the processes of a node share nothing but
the file.
"""

import hashlib
import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from core.storage import Folder
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.mapped_table import mapped_table
from pipelines.dataset.stored_table import require_digest, stored_table

HELD_ROWS = 50_000  # larger tables are decoded in parts
BATCH_ROWS = 1 << 16
BLOCK_ROWS = 1 << 10  # of a row group are kept together
KEPT_BYTES = 64 << 20  # of blocks

Cells = dict[str, Any]  # values by column: what they are depends on the column


class Rows(Protocol):
    """A table of samples. Safe to share between threads and to pickle."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def cells(self, row: int, columns: Sequence[str]) -> Cells:
        """Values of some columns of a row."""
        ...

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all rows in order, at most ``BATCH_ROWS`` at a time."""
        ...

    def table(self) -> pa.Table:
        """All columns of all rows, in memory or mapped."""
        ...


def open_rows(
    folder: Folder, name: str, digest: str, rows: int, schema: pa.Schema, later: Sequence[str] = ()
) -> Rows:
    """A Parquet file of a folder.

    Args:
        digest: the file's sha256.
        rows: how many it has.
        schema: its columns.
        later: those that files of earlier versions lack, which are null then.

    Raises OSError, also if the file is another one, and pyarrow.ArrowException.
    """
    if rows > HELD_ROWS:
        cache = CacheConfig().path
        stored = StoredRows(
            partial(stored_table, folder, name, digest, cache),
            schema,
            partial(mapped_table, folder, name, digest, cache),
        )
        _check_columns(stored.columns, schema, later)
        if len(stored) != rows:
            raise OSError(f"it has {len(stored)} rows, not {rows}")
        return stored
    data = folder.read(name)
    require_digest(hashlib.sha256(data).hexdigest(), digest)
    table = pq.read_table(io.BytesIO(data))
    _check_columns(table.schema.names, schema, later)
    if len(table) != rows:
        raise OSError(f"it has {len(table)} rows, not {rows}")
    return HeldRows(_completed(table, schema))


def have_same_keys(one: Rows, other: Rows) -> bool:
    """Whether two tables have the same column ``key``."""
    if len(one) != len(other):
        return False
    others, rest = other.batches(["key"]), pa.array([], pa.string())
    for batch in one.batches(["key"]):
        keys = batch.column(0)
        while len(rest) < len(keys):
            rest = pa.concat_arrays([rest, next(others).column(0)])
        if not keys.equals(rest.slice(0, len(keys))):
            return False
        rest = rest.slice(len(keys))
    return True


class HeldRows:
    """A table in memory."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def cells(self, row: int, columns: Sequence[str]) -> Cells:
        """See :class:`Rows`."""
        return {name: self._table.column(name)[row].as_py() for name in columns}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See :class:`Rows`."""
        yield from self._table.select(columns).to_batches(max_chunksize=BATCH_ROWS)

    def table(self) -> pa.Table:
        """See :class:`Rows`."""
        return self._table


class StoredRows:
    """A table that remains a Parquet file on this node's disk.

    A row is decoded with its row group, of which the rows around it are kept: training reads the samples of
    some shards at a time, which follow one another in the table.
    """

    def __init__(
        self,
        source: Callable[[], Path | io.BytesIO],
        schema: pa.Schema,
        whole: Callable[[], pa.Table] | None = None,
    ) -> None:
        """Open a table.

        Args:
            source: finds the file, in every process that opens the table.
            schema: its columns; those that the file lacks are null.
            whole: reads all of it, if not from ``source``.

        Raises what ``source`` does, OSError and pyarrow.ArrowException.
        """
        self._source = (source, schema, whole)
        self._schema, self._whole = schema, whole
        self._file = pq.ParquetFile(source())
        self.columns: list[str] = self._file.schema_arrow.names
        metadata = self._file.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._blocks: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._kept_bytes = 0
        self._mapped: pa.Table | None = None

    def __reduce__(self) -> tuple[type["StoredRows"], tuple[object, ...]]:
        return StoredRows, self._source

    def __len__(self) -> int:
        return self._starts[-1]

    def cells(self, row: int, columns: Sequence[str]) -> Cells:
        """See :class:`Rows`."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} outside 0..{len(self) - 1}")
        group = bisect_right(self._starts, row) - 1
        number, index = divmod(row - self._starts[group], BLOCK_ROWS)
        with self._lock:
            block = self._block(group, number, columns)
        return {name: block.column(name)[index].as_py() for name in columns}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See :class:`Rows`."""
        for group in range(len(self._starts) - 1):
            with self._lock:
                table = self._read(group, columns)
            yield from table.to_batches(max_chunksize=BATCH_ROWS)

    def table(self) -> pa.Table:
        """See :class:`Rows`."""
        with self._lock:
            if self._mapped is None:
                table = self._whole() if self._whole else self._file.read()
                self._mapped = _completed(table, self._schema)
            return self._mapped

    def _block(self, group: int, number: int, columns: Sequence[str]) -> pa.Table:
        """Rows around one, with at least these columns."""
        block = self._blocks.get((group, number))
        if block is None or not set(columns) <= set(block.schema.names):
            # What was wanted of one row will be wanted of the next.
            self._wanted |= dict.fromkeys(columns)
            whole = self._read(group, list(self._wanted))
            start = number * BLOCK_ROWS
            # A slice would keep the whole row group in memory; taken rows are copies.
            block = whole.take(pa.array(range(start, min(start + BLOCK_ROWS, len(whole)))))
            self._forget((group, number))
            self._kept_bytes += block.nbytes
            self._blocks[group, number] = block
            while self._kept_bytes > KEPT_BYTES and len(self._blocks) > 1:
                self._forget(next(iter(self._blocks)))
        self._blocks.move_to_end((group, number))
        return block

    def _forget(self, key: tuple[int, int]) -> None:
        block = self._blocks.pop(key, None)
        if block is not None:
            self._kept_bytes -= block.nbytes

    def _read(self, group: int, columns: Sequence[str]) -> pa.Table:
        present = [name for name in columns if name in self.columns]
        table = self._file.read_row_group(group, columns=present)
        return _completed(table, pa.schema([self._schema.field(name) for name in columns]))


def _check_columns(found: Sequence[str], schema: pa.Schema, later: Sequence[str]) -> None:
    missing = set(schema.names) - set(later) - set(found)
    if missing or not set(found) <= set(schema.names):
        raise OSError(f"its columns are {', '.join(found)[:200]}")


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of ``schema``, in its order; those that it lacks are null."""
    for field in schema:
        if field.name not in table.schema.names:
            table = table.append_column(field.name, pa.nulls(len(table), field.type))
    return table.select(schema.names)
