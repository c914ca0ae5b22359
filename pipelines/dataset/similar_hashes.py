"""Perceptual hashes that are similar to an earlier one, found exactly and in bounded memory.

Two hashes that differ in at most d bits are equal in at least one of d + 1 bands of their bits, so only
hashes with an equal band are compared. A hash that is similar to no *leader* before it becomes a leader; each
of the others belongs to the first leader within the distance. Hashes are decided block by block: first
against the leaders of earlier blocks, which are read from disk some at a time, then among themselves.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

HASH_BITS = 256
BLOCK = 1 << 20  # hashes, or leaders, at once
COMPARED = 1 << 18  # pairs at once
MOST_PAIRS = 1 << 20  # similar pairs of a block; where there are more, its halves are decided in turn
_NONE = np.iinfo(np.int64).max

Hashes = npt.NDArray[np.uint64]  # [n, 4]
Indices = npt.NDArray[np.int64]


class Found(NamedTuple):
    """Hashes that are similar to an earlier one, ascending: numbers, their leaders' numbers, distances."""

    rows: Indices
    leaders: Indices
    bits: npt.NDArray[np.int32]


def find_similar(blocks: Iterable[tuple[Indices, Hashes]], distance: int, scratch: Path) -> Iterator[Found]:
    """What is found in each block of hashes, which come with their numbers, ascending."""
    with (scratch / "leaders").open("w+b") as file:
        earlier = _Leaders(file)
        for numbers, hashes in blocks:
            leader = np.full(len(numbers), _NONE)
            bits = np.zeros(len(numbers), np.int32)
            left = np.arange(len(numbers))
            for leader_numbers, leader_hashes in earlier.blocks():
                best = _first_similar(leader_hashes, hashes[left], distance)
                hit = best != _NONE
                leader[left[hit]] = leader_numbers[best[hit]]
                bits[left[hit]] = _distance(leader_hashes[best[hit]], hashes[left[hit]])
                left = left[~hit]
            own = np.arange(len(numbers))
            _decide(hashes, left, distance, own)
            found = left[own[left] != left]
            leader[found] = numbers[own[found]]
            bits[found] = _distance(hashes[own[found]], hashes[found])
            new = left[own[left] == left]
            earlier.add(numbers[new], hashes[new])
            rows = np.flatnonzero(leader != _NONE)
            yield Found(numbers[rows], leader[rows], bits[rows])


class _Leaders:
    """Numbers and hashes of leaders in a file, in ascending order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._count = file, 0

    def add(self, numbers: Indices, hashes: Hashes) -> None:
        self._file.seek(0, 2)
        np.column_stack([numbers.view(np.uint64), hashes]).tofile(self._file)
        self._count += len(numbers)

    def blocks(self) -> Iterator[tuple[Indices, Hashes]]:
        self._file.seek(0)
        for start in range(0, self._count, BLOCK):
            rows = min(BLOCK, self._count - start)
            stored = np.fromfile(self._file, np.uint64, rows * 5).reshape(-1, 5)
            yield stored[:, 0].astype(np.int64), np.ascontiguousarray(stored[:, 1:])


def _decide(hashes: Hashes, rows: Indices, distance: int, leader: Indices) -> None:
    """Set in ``leader``, where every row is its own, those of ``rows`` among themselves."""
    pairs = _similar_pairs(hashes[rows], distance)
    if pairs is None:
        first, second = np.array_split(rows, 2)
        _decide(hashes, first, distance, leader)
        leaders = first[leader[first] == first]
        best = _first_similar(hashes[leaders], hashes[second], distance)
        hit = best != _NONE
        leader[second[hit]] = leaders[best[hit]]
        _decide(hashes, second[~hit], distance, leader)
        return
    lower, upper = rows[pairs].T
    order = np.lexsort((lower, upper))
    for before, after in zip(lower[order].tolist(), upper[order].tolist(), strict=True):
        if leader[after] == after and leader[before] == before:
            leader[after] = before


def _similar_pairs(hashes: Hashes, distance: int) -> Indices | None:
    """Pairs (i, j), i < j, at most ``distance`` bits apart, [n, 2]; a pair may occur several times.

    None if there are more than MOST_PAIRS, unless the hashes are two.
    """
    found, count = [np.empty((0, 2), np.int64)], 0
    for keys in _bands(hashes, distance):
        order = np.argsort(keys, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(keys[order])) + 1, len(order))
        for lower, upper in _pairs_of_runs(np.arange(len(order)), np.repeat(ends, np.diff(ends, prepend=0))):
            low, high = order[lower], order[upper]
            near = _distance(hashes[low], hashes[high]) <= distance
            found.append(np.stack([low[near], high[near]], axis=1))
            count += int(near.sum())
            if count > MOST_PAIRS and len(hashes) > 2:
                return None
    return np.concatenate(found)


def _first_similar(leaders: Hashes, hashes: Hashes, distance: int) -> Indices:
    """For each hash the first leader within the distance, _NONE without any."""
    best = np.full(len(hashes), _NONE)
    for leader_keys, keys in zip(_bands(leaders, distance), _bands(hashes, distance), strict=True):
        order = np.argsort(leader_keys, kind="stable")
        sorted_keys = leader_keys[order]
        low = np.searchsorted(sorted_keys, keys, "left")
        high = np.searchsorted(sorted_keys, keys, "right")
        # What precedes its first candidate is compared with each: a range from one before it to its end.
        for before, after in _pairs_of_runs(low - 1, high, np.flatnonzero(low < high)):
            candidate = order[after]
            near = _distance(leaders[candidate], hashes[before]) <= distance
            np.minimum.at(best, before[near], candidate[near])
    return best


def _pairs_of_runs(
    starts: Indices, ends: Indices, rows: Indices | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Each of ``rows`` (all) with every position after its start and before its end, some at a time."""
    rows = np.arange(len(starts)) if rows is None else rows
    step = 1
    while len(rows := rows[starts[rows] + step < ends[rows]]):
        for part in range(0, len(rows), COMPARED):
            some = rows[part : part + COMPARED]
            yield some, starts[some] + step
        step += 1


def _bands(hashes: Hashes, distance: int) -> Iterator[npt.NDArray[np.uint64]]:
    """The bits of each band as a number, of a band of more than 64 bits the first 64: all that are equal in
    the band are equal in these."""
    octets = hashes.view(np.uint8).reshape(-1, HASH_BITS // 8)
    for band in np.array_split(np.arange(HASH_BITS), distance + 1):
        first, count = int(band[0]), min(64, len(band))
        start, end = first // 8, -(-(first + count) // 8)
        keys = np.zeros(len(hashes), np.uint64)
        for octet in range(start, end):
            shift = 8 * (end - octet - 1) - (8 * end - first - count)
            part = octets[:, octet].astype(np.uint64)
            if octet == start:
                part &= np.uint64(0xFF >> (first % 8))
            keys |= part << np.uint64(shift) if shift >= 0 else part >> np.uint64(-shift)
        yield keys


def _distance(one: Hashes, other: Hashes) -> npt.NDArray[np.int32]:
    return np.bitwise_count(one ^ other).sum(1, dtype=np.int32)
