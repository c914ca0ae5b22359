"""Keys that several datasets have: of one sample, which is kept once, or of different ones."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from pipelines.dataset import Dataset
from pipelines.dataset.records import SampleRow, member_ranges
from pipelines.reshape.draws import draws

_THREADS = 8
_BLOCK = 1 << 15  # candidates at once


@dataclass(frozen=True)
class Collision:
    """A key of two datasets: number of the dataset and index of the sample, of the first and a later one.

    ``identical``: whether all members are equal, byte for byte.
    """

    key: str
    first: tuple[int, int]
    later: tuple[int, int]
    identical: bool


def collisions(datasets: Sequence[Dataset]) -> Iterator[Collision]:
    """Keys of later datasets that an earlier one has, in no particular order.

    Holds 16 bytes for each sample. Members are read where the tables do not decide.
    """
    pairs = _pairs(datasets)
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pairs:
            yield from pool.map(lambda pair: _compared(datasets, *pair), found)


Place = tuple[int, int]
_Pair = tuple[str, Place, Place]


def _pairs(datasets: Sequence[Dataset]) -> Iterator[list[_Pair]]:
    """The same keys, some at a time."""
    starts = np.cumsum([0, *(len(dataset) for dataset in datasets)])
    numbers = np.concatenate([draws(dataset.samples["key"], 0) for dataset in datasets])
    order = np.argsort(numbers, kind="stable")
    equal = numbers[order[1:]] == numbers[order[:-1]]
    # Runs of equal numbers: candidates, for two keys may have the same number.
    candidates = np.flatnonzero(np.concatenate([equal, [False]]) | np.concatenate([[False], equal]))
    del equal
    known: dict[str, Place] = {}
    previous = None
    for start in range(0, len(candidates), _BLOCK):
        block = order[candidates[start : start + _BLOCK]]
        keys = _keys(datasets, starts, block)
        found = list[_Pair]()
        for index, key in zip(block.tolist(), keys, strict=True):
            if numbers[index] != previous:
                known, previous = {}, numbers[index]
            dataset = int(np.searchsorted(starts, index, side="right")) - 1
            place = (dataset, int(index - starts[dataset]))
            if key in known:
                found.append((key, known[key], place))
            else:
                known[key] = place
        yield found


def _keys(datasets: Sequence[Dataset], starts: np.ndarray, block: np.ndarray) -> list[str]:
    keys = np.empty(len(block), object)
    for number, dataset in enumerate(datasets):
        own = np.flatnonzero((block >= starts[number]) & (block < starts[number + 1]))
        rows = pa.array(block[own] - starts[number])
        keys[own] = dataset.samples["key"].take(rows).to_pylist()
    return cast(list[str], keys.tolist())


def _compared(datasets: Sequence[Dataset], key: str, first: Place, later: Place) -> Collision:
    return Collision(key, first, later, _are_identical(datasets, first, later))


def _are_identical(datasets: Sequence[Dataset], first: Place, later: Place) -> bool:
    (a, a_row), (b, b_row) = (
        (datasets[number], _row(datasets[number], row)) for number, row in (first, later)
    )
    a_ranges, b_ranges = member_ranges(a_row), member_ranges(b_row)
    if [(name, where.size) for name, where in a_ranges.items()] != [
        (name, where.size) for name, where in b_ranges.items()
    ]:
        return False
    if a_ranges == b_ranges and _shard(a, a_row) == _shard(b, b_row):
        return True
    return all(
        a.folder.read_range(a_row["shard"], *a_ranges[name])
        == b.folder.read_range(b_row["shard"], *b_ranges[name])
        for name in a_ranges
    )


def _row(dataset: Dataset, row: int) -> SampleRow:
    found: SampleRow = dataset.samples.slice(row, 1).to_pylist()[0]
    return found


def _shard(dataset: Dataset, row: SampleRow) -> str:
    shards = dataset.info["shards"]
    return next(shard["sha256"] for shard in shards if shard["name"] == row["shard"])
