"""Clips that look alike, decided over a whole dataset from the perceptual hashes of its samples.

A sample is the duplicate of the first one before it, in the dataset's order, that is within the distance and
is no duplicate itself. Of a large dataset, blocks of hashes are in memory at once, and of what is found
twenty bytes a duplicate and the keys of the samples that have some.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dataset.similar_hashes import BLOCK, Found, Hashes, Indices, find_similar

DUPLICATES = "duplicates.parquet"
SCHEMA = pa.schema([("key", pa.string()), ("duplicate_of", pa.string()), ("distance", pa.int32())])
_GROUP_ROWS = 1 << 20  # of duplicates.parquet
_READ_ROWS = 1 << 16


def write_duplicates(samples: Path, to: Path, distance: int) -> None:
    """Write the duplicates among the samples of a Parquet file (columns key and phash), in its order: key,
    duplicate_of, distance in bits. Samples without a hash are no duplicates."""
    table = pq.ParquetFile(samples)
    with tempfile.TemporaryDirectory(prefix="animatic-", dir=to.parent) as scratch:
        found = _joined(list(find_similar(_blocks(table), distance, Path(scratch))))
    originals = np.unique(found.leaders)
    keys_of_originals = pa.concat_arrays(list(_keys(table, originals))) if len(originals) else None
    with pq.ParquetWriter(to, SCHEMA, compression="zstd") as writer:
        keys, done = _keys(table, found.rows), 0
        for part in _regrouped(keys):
            rows = slice(done, done + len(part))
            assert keys_of_originals is not None
            where = np.searchsorted(originals, found.leaders[rows])
            columns = [part, keys_of_originals.take(pa.array(where)), pa.array(found.bits[rows])]
            writer.write_table(pa.table(columns, schema=SCHEMA), _GROUP_ROWS)
            done += len(part)
        if not done:
            writer.write_table(SCHEMA.empty_table())


def _blocks(table: pq.ParquetFile) -> Iterator[tuple[Indices, Hashes]]:
    """Numbers and hashes of the samples that have one."""
    numbers, hashes, first = list[Indices](), list[Hashes](), 0
    for batch in table.iter_batches(_READ_ROWS, columns=["phash"]):
        column = batch.column(0)
        rows = np.flatnonzero(~np.asarray(column.is_null()))
        octets = bytes.fromhex("".join(column.drop_null().to_pylist()))
        numbers.append(rows + first)
        hashes.append(np.frombuffer(octets, np.uint64).reshape(-1, 4))
        first += len(batch)
        if sum(map(len, numbers)) >= BLOCK:
            yield np.concatenate(numbers), np.concatenate(hashes)
            numbers, hashes = [], []
    if numbers:
        yield np.concatenate(numbers), np.concatenate(hashes)


def _joined(found: list[Found]) -> Found:
    empty = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
    return Found(*(np.concatenate(parts) for parts in zip(empty, *found, strict=True)))


def _keys(table: pq.ParquetFile, rows: Indices) -> Iterator[pa.Array]:
    """The keys of some rows, ascending."""
    first = 0
    for batch in table.iter_batches(_READ_ROWS, columns=["key"]):
        start, end = np.searchsorted(rows, [first, first + len(batch)])
        if start < end:
            yield batch.column(0).take(pa.array(rows[start:end] - first))
        first += len(batch)


def _regrouped(arrays: Iterator[pa.Array]) -> Iterator[pa.Array]:
    """The values in arrays of _GROUP_ROWS, the last one shorter."""
    waiting, count = list[pa.Array](), 0
    for array in arrays:
        waiting.append(array)
        count += len(array)
        while count >= _GROUP_ROWS:
            whole = pa.concat_arrays(waiting)
            yield whole.slice(0, _GROUP_ROWS)
            waiting, count = [whole.slice(_GROUP_ROWS)], count - _GROUP_ROWS
    if count:
        yield pa.concat_arrays(waiting)
