"""Mean and covariance of feature vectors that arrive in blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError

Floats = npt.NDArray[np.float64]
Covariance = Literal["n", "n-1"]
COVARIANCES: tuple[Covariance, ...] = get_args(Covariance)
# Every float32 is below it, and the sixth powers of which distances are sums stay finite in float64.
LARGEST = 1e40


class Moments:
    """Count, mean and scatter (sum of outer products of deviations) of rows, in float64.

    Blocks are combined by the pairwise update of Chan, Golub and LeVeque (1983, The American Statistician
    37:242): unlike raw sums it loses no digits to a large mean. Memory is that of one block and of d x d
    numbers, whatever the number of rows.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(dimension)
        self._scatter: Floats = np.zeros((dimension, dimension))

    @classmethod
    def of(cls, blocks: Iterable[npt.NDArray[np.floating]], what: str) -> Moments:
        """Those of all blocks [n d]; ``what`` names the rows in errors.

        Raises AnimaticError for no rows, for rows of another dimension, and for the first row that is not
        finite.
        """
        moments: Moments | None = None
        for block in blocks:
            moments = moments or cls(block.shape[1])
            moments.add(block, what)
        if moments is None:
            raise AnimaticError(f"{what}: no rows of features")
        return moments

    def add(self, block: npt.NDArray[np.floating], what: str) -> None:
        """Add rows [n d]. Raises AnimaticError for another dimension, and for a row that is not finite."""
        if block.ndim != 2 or block.shape[1] != len(self.mean):
            raise AnimaticError(
                f"{what}: features of shape {block.shape} among rows of dimension {len(self.mean)}"
            )
        if not len(block):
            return
        rows = finite_rows(block, what, self.count)
        count, mean = len(rows), rows.mean(axis=0)
        deviations, shift = rows - mean, mean - self.mean
        total = self.count + count
        self._scatter += deviations.T @ deviations + np.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count = total

    def covariance(self, normalisation: Covariance) -> Floats:
        """The scatter over N ("n") or N - 1 ("n-1"). Raises ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance of {self.count} rows")
        return self._scatter / (self.count if normalisation == "n" else self.count - 1)


def finite_rows(block: npt.NDArray[np.floating], what: str, first: int = 0) -> Floats:
    """A block [n d] as float64; its first row has the number ``first``.

    Raises AnimaticError that names the first row with a value that is not finite, or beyond ``LARGEST``.
    """
    rows = np.asarray(block, np.float64)
    bad = np.flatnonzero(~(np.abs(rows) <= LARGEST).all(axis=1))
    if len(bad):
        row = rows[bad[0]]
        wrong = f"has values beyond ±{LARGEST:g}" if np.isfinite(row).all() else "is not finite"
        raise AnimaticError(f"{what}: row {first + bad[0]} {wrong}; a distance needs finite features")
    return rows
