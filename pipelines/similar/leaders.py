"""The leaders of near-duplicates: each sample is similar to the first leader before it, or a leader itself.

This is the rule of ``pipelines.dataset.duplicates``: a sample that is similar to no earlier leader is a
leader. Only leaders are compared with, so a hundred thousand black clips are compared with one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.similar.vectors import PAIR_COST, Vectors, exact_cosines, paired_cosines, tolerance

NOBODY = -1  # in place of a leader: none was found yet, or the sample has no embedding
ROWS, COLUMNS = 2048, 4096  # of a tile: what is compared at once
_PAIRS = 4096  # at once

Indices = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """For each of n samples its leader, which may be itself, or NOBODY, and the cosine to it, or NaN."""

    leader: Indices
    cosine: Cosines

    @classmethod
    def nothing(cls, count: int) -> Found:
        """No leaders known yet."""
        return cls(np.full(count, NOBODY, np.int64), np.full(count, np.nan, np.float32))


@dataclass
class Work:
    """What a search did: pairs of samples that were bounded, and compared in full."""

    bounded: int = 0
    compared: int = 0


class LeaderSearch:
    """Finds leaders at one threshold; ``work`` counts what it did."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.work = Work()

    def among_earlier(self, rows: Vectors, numbers: Indices, leaders: Vectors, found: Found) -> None:
        """Look for the leaders of samples among earlier ``leaders``, in order.

        Args:
            rows: the samples, (n, d); those that have a leader in ``found`` are left out.
            numbers: of the leaders in the dataset, ascending.
            found: of the samples; leaders are entered.
        """
        open_rows = np.flatnonzero(found.leader == NOBODY)
        for start in range(0, len(leaders), COLUMNS):
            if not len(open_rows):
                return
            columns = leaders[start : start + COLUMNS]
            for part in _parts(open_rows, ROWS):
                mine = rows[torch.from_numpy(part).to(rows.stored.device)]
                row, column = _first(*self._similar_pairs(mine, columns))
                if len(row):
                    cosines = paired_cosines(mine[row], columns[column]).float().cpu().numpy()
                    chosen = part[row.cpu().numpy()]
                    found.leader[chosen] = numbers[start : start + COLUMNS][column.cpu().numpy()]
                    found.cosine[chosen] = cosines
            open_rows = open_rows[found.leader[open_rows] == NOBODY]

    def among_themselves(self, rows: Vectors, numbers: Indices, found: Found) -> None:
        """Decide all samples that have no leader yet, in order: they become leaders, or get one of these.

        Args:
            rows: the samples, (n, d).
            numbers: of the samples in the dataset, ascending.
            found: of the samples; leaders are entered.
        """
        leaders = np.empty(0, np.int64)
        device = rows.stored.device
        for part in _parts(np.flatnonzero(found.leader == NOBODY), ROWS):
            own = Found.nothing(len(part))
            mine = rows[torch.from_numpy(part).to(device)]
            for chosen in _parts(leaders, COLUMNS * 16):
                self.among_earlier(mine, chosen, rows[torch.from_numpy(chosen).to(device)], own)
            self._tile(mine, part, own)
            found.leader[part], found.cosine[part] = numbers[own.leader], own.cosine
            leaders = np.concatenate([leaders, part[own.leader == part]])

    def _tile(self, rows: Vectors, positions: Indices, found: Found) -> None:
        """Decide the samples of one tile; leaders are entered by their ``positions``."""
        open_rows = np.flatnonzero(found.leader == NOBODY)
        mine = rows[torch.from_numpy(open_rows).to(rows.stored.device)]
        row, column = (each.cpu().numpy() for each in self._similar_pairs(mine, mine))
        row, column = row[row < column], column[row < column]
        local = np.arange(len(open_rows))
        followed, starts = np.unique(row, return_index=True)
        for leader, followers in zip(followed, np.split(column, starts[1:]), strict=False):
            if local[leader] == leader:
                # One that has an earlier leader keeps it.
                local[followers[local[followers] == followers]] = leader
        leader_rows = mine[torch.from_numpy(local).to(rows.stored.device)]
        found.leader[open_rows] = positions[open_rows[local]]
        found.cosine[open_rows] = paired_cosines(mine, leader_rows).float().cpu().numpy()

    def _similar_pairs(self, rows: Vectors, columns: Vectors) -> tuple[Tensor, Tensor]:
        """The pairs whose cosine reaches the threshold, as numbers of rows and of columns, in their order."""
        off = tolerance(rows.stored.shape[1])
        self.work.bounded += len(rows) * len(columns)
        row, column = _where(rows.short @ columns.short.T >= self.threshold - off)
        if len(row) * PAIR_COST <= len(rows) * len(columns):
            self.work.compared += len(row)
            return self._checked(rows, columns, row, column)
        chosen = row.unique_consecutive()
        self.work.compared += len(chosen) * len(columns)
        row, column = _where(self._dense(rows[chosen], columns, off))
        return chosen[row], column

    def _checked(self, rows: Vectors, columns: Vectors, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Of some pairs those that are similar."""
        parts = [
            paired_cosines(rows[r], columns[c]) >= self.threshold
            for r, c in zip(row.split(_PAIRS), column.split(_PAIRS), strict=True)
        ]
        similar = torch.cat(parts)
        return row[similar], column[similar]

    def _dense(self, rows: Vectors, columns: Vectors, off: float) -> Tensor:
        """All pairs in float32, and in float64 the rows where that leaves a doubt."""
        cosines = rows.unit() @ columns.unit().T
        similar = cosines >= self.threshold + off
        unsure = ((cosines >= self.threshold - off) & ~similar).any(1).nonzero()[:, 0]
        if len(unsure):
            similar[unsure] = exact_cosines(rows[unsure], columns) >= self.threshold
        return similar


def _where(table: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the true entries of a table, bool (n, m), row by row."""
    if table.device.type == "cpu":
        # Several times as fast as torch where few entries are true.
        flat = torch.from_numpy(np.flatnonzero(table.numpy()))
    else:
        flat = table.view(-1).nonzero()[:, 0]
    return flat // table.shape[1], flat % table.shape[1]


def _first(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of some pairs, in order, and the first column of each."""
    is_first = torch.ones_like(row, dtype=torch.bool)
    is_first[1:] = row[1:] != row[:-1]
    return row[is_first], column[is_first]


def _parts(indices: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
