"""Embeddings on a device, their exact cosines, and a cheap upper bound of them.

Stored embeddings are float16 and of length one at most. Products of two such values are multiples of 2⁻⁴⁸,
and so is each partial sum of them, below 2: float64 adds them without any rounding. A scalar product in
float64 is therefore exact, whatever the order of its terms: cosines, and what is decided by them, do not
depend on the machine, on the number of workers, or on the shape of blocks.

The bound: with the projection p(u) of a vector of length one on a few orthonormal directions and the length
r(u) of the rest, ⟨u, v⟩ ≤ ⟨p(u), p(v)⟩ + r(u) r(v) by Cauchy-Schwarz. Both terms together are one scalar
product of the vectors (p, r), as in FEXIPRO (Li et al., SIGMOD 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Stored = npt.NDArray[np.float16]
Basis = npt.NDArray[np.float64]

PAIR_COST = 128  # of a pair that is compared alone, in pairs of a product of blocks: measured on a CPU
_SLACK = 1e-5  # added to the square of r, which rounding could make too small


@dataclass(frozen=True)
class Vectors:
    """Embeddings on a device.

    Attributes:
        stored: as stored, float16 (n, d).
        square: their exact squared lengths, float64 (n).
        short: projection and length of the rest of the vectors of length one, float32 (n, k + 1).
    """

    stored: Tensor
    square: Tensor
    short: Tensor

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, chosen: Tensor | slice) -> Vectors:
        return Vectors(self.stored[chosen], self.square[chosen], self.short[chosen])

    def unit(self) -> Tensor:
        """The vectors of length one, float32 (n, d)."""
        return (self.stored / self.square.sqrt()[:, None]).float()


def vectors(stored: Stored, basis: Basis, device: str) -> Vectors:
    """Embeddings (n, d) on a device, with a ``basis`` (d, k) of orthonormal directions for the bound."""
    on_device = torch.from_numpy(stored).to(device)
    directions = torch.from_numpy(basis).to(device)
    squares, short = [], []
    for part in on_device.split(4096):
        exact = part.double()
        square = exact.square().sum(1)
        projected = exact @ directions / square.sqrt()[:, None]
        rest = (1 - projected.square().sum(1)).clamp(min=0).add(_SLACK).sqrt()
        squares.append(square)
        short.append(torch.cat([projected, rest[:, None]], 1).float())
    return Vectors(on_device, torch.cat(squares), torch.cat(short))


def exact_cosines(rows: Vectors, columns: Vectors) -> Tensor:
    """Cosines of every row with every column, float64 (rows, columns)."""
    products = rows.stored.double() @ columns.stored.double().T
    # The root of the product, not the product of roots: vectors that are equal have a cosine of exactly 1.
    return products / (rows.square[:, None] * columns.square).sqrt()


def paired_cosines(rows: Vectors, columns: Vectors) -> Tensor:
    """Cosines of each row with the column of the same number, float64 (n): the values of exact_cosines."""
    products = (rows.stored.double() * columns.stored.double()).sum(1)
    return products / (rows.square * columns.square).sqrt()


def tolerance(dimensions: int) -> float:
    """By how much a cosine in float32 can be off: twice the bound d 2⁻²⁴ of the sum's rounding, and the
    inputs'.

    Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), section 3.1.
    """
    return 2 * dimensions * 2.0**-24 + 2e-5


def principal_basis(sample: Stored, sizes: tuple[int, ...], threshold: float) -> Basis:
    """Orthonormal directions (d, k) for the bound: the principal ones of a sample (n, d), not centred.

    k is the one of ``sizes`` that promises the least work on pairs of the sample; none of d/2 and above.
    Any basis gives a valid bound: it decides the work, never the result.
    """
    if not len(sample):
        return np.zeros((sample.shape[1], 0))
    exact = sample.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    dimensions = exact.shape[1]
    _, directions = np.linalg.eigh(exact.T @ exact)
    principal = np.ascontiguousarray(directions[:, ::-1])
    projected = exact @ principal
    costs = {}
    for size in sizes:
        if size < dimensions / 2:
            part = projected[:, :size]
            rest = np.sqrt(np.clip(1 - np.square(part).sum(1), 0, None))
            passed = np.mean(part @ part.T + np.outer(rest, rest) >= threshold)
            costs[size] = size + min(PAIR_COST * passed, 1.0) * dimensions
    best = min(costs, key=lambda size: costs[size]) if costs else 0
    return principal[:, :best]
