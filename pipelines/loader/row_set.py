"""Some rows of a table, one bit each: a hundred million of them take 12.5 MB, whatever their number."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_BLOCK_BYTES = 64  # of bits, whose rows are counted together


class RowSet:
    """An ascending sequence of row numbers. Safe to share between threads."""

    def __init__(self, bits: npt.NDArray[np.uint8], size: int) -> None:
        """``bits``, packed eight in a byte, of each of ``size`` rows whether it belongs."""
        self._bits, self._size = bits, size
        padded = np.zeros(-(-len(self._bits) // _BLOCK_BYTES) * _BLOCK_BYTES, np.uint8)
        padded[: len(self._bits)] = np.bitwise_count(self._bits)
        counts = padded.reshape(-1, _BLOCK_BYTES).sum(1, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(counts)])  # rows of the set before each block

    @classmethod
    def of(cls, mask: Mask) -> "RowSet":
        """The rows that a mask of all rows selects."""
        return cls(np.packbits(mask), len(mask))

    @classmethod
    def all(cls, size: int) -> "RowSet":
        """All of so many rows."""
        bits = np.full(-(-size // 8), 0xFF, np.uint8)
        bits[size // 8 :] = np.packbits(np.ones(size % 8, np.bool_))
        return cls(bits, size)

    def __and__(self, other: "RowSet") -> "RowSet":
        """The rows that belong to both sets of one table."""
        return RowSet(self._bits & other._bits, self._size)

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


class RowSetBuilder:
    """Packs whether rows belong to a set as it becomes known, some rows at a time."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.uint8]] = []
        self._left = np.empty(0, np.bool_)
        self._size = 0

    def add(self, mask: Mask) -> None:
        """Of the next rows whether each belongs."""
        self._size += len(mask)
        mask = np.concatenate([self._left, mask])
        whole = len(mask) // 8 * 8
        self._parts.append(np.packbits(mask[:whole]))
        self._left = mask[whole:]

    def built(self) -> RowSet:
        """The set of what was added."""
        return RowSet(np.concatenate([*self._parts, np.packbits(self._left)]), self._size)
