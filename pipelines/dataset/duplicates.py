"""Clips that look alike, decided over a whole dataset from the perceptual hashes of its samples.

Two hashes that differ in at most d bits are equal in at least one of d + 1 bands of their bits, so only
samples with an equal band are compared. A sample is the duplicate of the first one before it, in the
dataset's order, that is within the distance and is no duplicate itself.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DUPLICATES = "duplicates.parquet"
HASH_BITS = 256
BLOCK = 1 << 20  # comparisons at once
SCHEMA = pa.schema([("key", pa.string()), ("duplicate_of", pa.string()), ("distance", pa.int32())])

Hashes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def find_duplicates(samples: pa.Table, distance: int) -> pa.Table:
    """The duplicates among ``samples`` (columns key and phash): key, duplicate_of, distance in bits.

    Samples without a hash are no duplicates.
    """
    rows, hashes = _hashes(samples)
    # Equal hashes are grouped first, so that a thousand black clips are not half a million pairs.
    distinct, first, group = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(first, kind="stable")
    leader = _leaders(distinct[order], distance)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    original = first[order][leader[rank[group]]]
    found = np.flatnonzero(original != np.arange(len(hashes)))
    keys = samples.column("key").take(pa.array(rows))
    away = np.bitwise_count(hashes[found] ^ hashes[original[found]]).sum(1).astype(np.int32)
    columns = [keys.take(pa.array(found)), keys.take(pa.array(original[found])), pa.array(away)]
    return pa.table(dict(zip(SCHEMA.names, columns, strict=True)), SCHEMA)


def _hashes(samples: pa.Table) -> tuple[Indices, Hashes]:
    """Which samples have a hash, and the hashes, [n, 32]."""
    column = samples.column("phash").combine_chunks()
    rows = np.flatnonzero(~np.asarray(column.is_null()))
    text = "".join(column.drop_null().to_pylist())
    return rows, np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, HASH_BITS // 8)


def _leaders(hashes: Hashes, distance: int) -> Indices:
    """For each of the distinct ``hashes`` the first one before it that is similar and its own leader."""
    leader = np.arange(len(hashes))
    pairs = list(_similar_pairs(hashes, distance))
    if not pairs:
        return leader
    lower, upper = np.concatenate(pairs).T
    order = np.lexsort((lower, upper))
    for before, after in zip(lower[order].tolist(), upper[order].tolist(), strict=True):
        if leader[after] == after and leader[before] == before:
            leader[after] = before
    return leader


def _similar_pairs(hashes: Hashes, distance: int) -> Iterator[Indices]:
    """Pairs (i, j), i < j, at most ``distance`` bits apart, as [n, 2]; a pair may come several times."""
    bits = np.unpackbits(hashes, axis=1)
    for band in np.array_split(np.arange(HASH_BITS), distance + 1):
        packed = np.packbits(bits[:, band], axis=1)
        values = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").reshape(-1)
        _, bucket = np.unique(values, return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket))
        end_of = np.repeat(ends, np.diff(ends, prepend=0))
        for step_pairs in _within(order, end_of):
            similar = np.bitwise_count(hashes[step_pairs[:, 0]] ^ hashes[step_pairs[:, 1]]).sum(1) <= distance
            yield step_pairs[similar]


def _within(order: Indices, end_of: Indices) -> Iterator[Indices]:
    """Every pair of one bucket, where a bucket is a run of ``order`` and ``end_of`` its end."""
    step = 1
    ranks = np.arange(len(order))
    while len(ranks := ranks[ranks + step < end_of[ranks]]):
        for start in range(0, len(ranks), BLOCK):
            low = ranks[start : start + BLOCK]
            yield np.stack([order[low], order[low + step]], axis=1)
        step += 1
