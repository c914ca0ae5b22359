"""Mixing datasets: from which of them each position of the global sequence takes its sample.

Positions come in blocks: in every ``BLOCK`` positions each dataset has exactly its weight's share, in an
order shuffled by the seed. How many samples of each dataset came before a position therefore follows from the
position alone, and every dataset goes through its own epochs without gaps, also where weights change. A
dataset with a positive weight has at least one position in every block.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.loader.keyed_random import keyed_permutation

BLOCK = 10_000

Counts = npt.NDArray[np.int64]


class Weight(NamedTuple):
    """A dataset's weight, which holds from ``step`` on."""

    step: int
    weight: float


class DatasetPosition(NamedTuple):
    """``position`` in the endless sequence of samples of the dataset numbered ``dataset``."""

    dataset: int
    position: int


def weights_by_step(weights: Sequence[Sequence[Weight]]) -> dict[int, list[float]]:
    """The weights of all datasets, by the step from which they hold.

    ``weights`` are each dataset's changes in order, the first at step 0. Raises AnimaticError if, at some
    step, a weight is negative or none is positive.
    """
    by_step = {
        step: [
            next(change.weight for change in reversed(changes) if change.step <= step) for changes in weights
        ]
        for step in sorted({change.step for changes in weights for change in changes})
    }
    for weights_then in by_step.values():
        _check_weights(weights_then)
    return by_step


class Mixture:
    """The dataset of every position; safe to share between threads."""

    def __init__(self, weights: Mapping[int, Sequence[float]], seed: int) -> None:
        """``weights`` of the datasets, by the position from which they hold; position 0 must be present.

        Raises AnimaticError if a weight is negative or none is positive.
        """
        self._phases: list[_Phase] = []
        for start, shares in sorted(weights.items()):
            before = np.asarray(self.counts(start)) if self._phases else np.zeros(len(shares), np.int64)
            self._phases.append(_Phase(start, before, _quotas(shares), seed))

    def at(self, position: int) -> DatasetPosition:
        """Where the sample at ``position`` (0, 1, 2, …) comes from."""
        phase = self._phase(position)
        return phase.at(position - phase.start)

    def counts(self, position: int) -> list[int]:
        """Samples of each dataset before ``position``."""
        phase = self._phase(position)
        return (phase.before + phase.counts(position - phase.start)).tolist()

    def _phase(self, position: int) -> "_Phase":
        return next(phase for phase in reversed(self._phases) if phase.start <= position)


class _Phase:
    """The positions from ``start`` on, with ``before`` samples of each dataset ahead of them."""

    def __init__(self, start: int, before: Counts, quotas: Counts, seed: int) -> None:
        self.start, self.before, self._quotas, self._seed = start, before, quotas, seed
        self._blocks: dict[int, tuple[Counts, Counts]] = {}

    def at(self, offset: int) -> DatasetPosition:
        """Where the sample ``offset`` positions into the phase comes from."""
        block, slot = divmod(offset, BLOCK)
        datasets, ranks = self._block(block)
        dataset = int(datasets[slot])
        position = self.before[dataset] + block * self._quotas[dataset] + ranks[slot]
        return DatasetPosition(dataset, int(position))

    def counts(self, offset: int) -> Counts:
        """Samples of each dataset in the first ``offset`` positions of the phase."""
        block, slot = divmod(offset, BLOCK)
        partial = np.bincount(self._block(block)[0][:slot], minlength=len(self._quotas))
        return block * self._quotas + partial

    def _block(self, number: int) -> tuple[Counts, Counts]:
        """For each slot of a block its dataset, and how many earlier slots of the block have the same."""
        block = self._blocks.get(number)
        if block is None:
            order = keyed_permutation(BLOCK, "mixture", self._seed, self.start, number)
            datasets = np.repeat(np.arange(len(self._quotas)), self._quotas)[order]
            ranks = np.empty(BLOCK, np.int64)
            for dataset, quota in enumerate(self._quotas):
                ranks[datasets == dataset] = np.arange(quota)
            block = datasets, ranks
            # Replaced, never changed in place: other threads may be reading.
            recent = {n: known for n, known in self._blocks.items() if abs(n - number) <= 1}
            self._blocks = recent | {number: block}
        return block


def _quotas(weights: Sequence[float]) -> Counts:
    """Slots of a block for each weight, by largest remainder; a positive weight has at least one slot."""
    _check_weights(weights)
    shares = np.asarray(weights, np.float64)
    exact = shares / shares.sum() * BLOCK
    quotas = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: BLOCK - quotas.sum()]] += 1
    absent = (quotas == 0) & (shares > 0)
    quotas[absent] = 1
    quotas[np.argmax(quotas)] -= absent.sum()
    return quotas


def _check_weights(weights: Sequence[float]) -> None:
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise AnimaticError(f"weights of datasets must not be negative, and one must be positive: {weights}")
