"""Numbers of texts, drawn by a seed: the same on every machine and for every dataset that has the text."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Draws = npt.NDArray[np.uint64]

_BATCH = 1 << 15


def draws(column: pa.ChunkedArray, seed: int) -> Draws:
    """For each text of a column the first 8 bytes of its blake2b, keyed by the seed: uniform over 64 bits."""
    key, parts = str(seed).encode(), [np.empty(0, np.uint64)]
    for texts in batches(column):
        found = b"".join(hashlib.blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts)
        parts.append(np.frombuffer(found, ">u8").astype(np.uint64))
    return np.concatenate(parts)


def batches(column: pa.ChunkedArray) -> Iterator[list[str]]:
    """The texts of a column, some at a time."""
    for start in range(0, len(column), _BATCH):
        yield column.slice(start, _BATCH).to_pylist()
