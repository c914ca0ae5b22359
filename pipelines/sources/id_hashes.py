"""Which ids of a large table may occur more than once: by a hash of 8 bytes each, valid in this process."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]


def hashes_of(ids: list[str]) -> Hashes:
    """A hash of each id; Python salts them in every process."""
    return np.fromiter(map(hash, ids), np.int64, len(ids))


def repeated_in(hashes: list[Hashes]) -> Hashes:
    """Values that occur more than once, ascending; empties the list to free its memory."""
    values = np.concatenate(hashes)
    hashes.clear()
    values.sort()
    return np.unique(values[1:][values[1:] == values[:-1]])


def are_among(hashes: Hashes, values: Hashes) -> list[bool]:
    """For each hash whether it is among the ascending ``values``."""
    if not len(values):
        return [False] * len(hashes)
    indices = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
    found: list[bool] = (values[indices] == hashes).tolist()
    return found
