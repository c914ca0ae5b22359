"""Some rows of a table, one bit each: a hundred million of them take 12.5 MB, whatever their number."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_BLOCK_BYTES = 64  # of bits, whose rows are counted together


class RowSet:
    """An ascending sequence of row numbers. Safe to share between threads."""

    def __init__(self, masks: Iterable[Mask]) -> None:
        """``masks``: of every row of the table whether it belongs, some rows at a time, in order."""
        self._bits, self._size = _packed(masks)
        padded = np.zeros(-(-len(self._bits) // _BLOCK_BYTES) * _BLOCK_BYTES, np.uint8)
        padded[: len(self._bits)] = np.bitwise_count(self._bits)
        counts = padded.reshape(-1, _BLOCK_BYTES).sum(1, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(counts)])  # rows of the set before each block

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __contains__(self, row: int) -> bool:
        return bool(self._bits[row >> 3] >> (7 - (row & 7)) & 1)

    def __getitem__(self, number: int) -> int:
        """The ``number``-th row of the set, from 0; IndexError if there is none."""
        if not 0 <= number < len(self):
            raise IndexError(f"row number {number} of a set of {len(self)}")
        block = int(np.searchsorted(self._starts, number, "right")) - 1
        first = block * _BLOCK_BYTES
        within = np.flatnonzero(np.unpackbits(self._bits[first : first + _BLOCK_BYTES]))
        return first * 8 + int(within[number - self._starts[block]])

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self._size

    def mask(self, start: int, stop: int) -> Mask:
        """Of the table's rows from ``start`` to ``stop`` whether each belongs."""
        bits = np.unpackbits(self._bits[start >> 3 : -(-stop // 8)])
        return bits[start & 7 : (start & 7) + stop - start].view(np.bool_)

    def before(self, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How many rows of the set are below each of ``ends``, which are row numbers."""
        kind = np.min_scalar_type(self._size)
        counted = np.zeros(len(self._bits) + 1, kind)
        np.cumsum(np.bitwise_count(self._bits), dtype=kind, out=counted[1:])
        whole, rest = np.divmod(ends, 8)
        partial = np.append(self._bits, 0)[whole] & (0xFF00 >> rest)
        return counted[whole].astype(np.int64) + np.bitwise_count(partial & 0xFF)


def _packed(masks: Iterable[Mask]) -> tuple[npt.NDArray[np.uint8], int]:
    """One bit for each row, and the number of rows."""
    parts, left, size = list[npt.NDArray[np.uint8]](), np.empty(0, np.bool_), 0
    for mask in masks:
        size += len(mask)
        left = np.concatenate([left, mask])
        whole = len(left) // 8 * 8
        parts.append(np.packbits(left[:whole]))
        left = left[whole:]
    parts.append(np.packbits(left))
    return np.concatenate(parts), size
