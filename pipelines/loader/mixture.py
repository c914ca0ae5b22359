"""Which of several datasets each position of the global sequence takes its sample from.

Turns come in blocks: of every ``BLOCK`` positions each dataset has its weight's share exactly, in an order
that the seed shuffles. Where a run stands in each dataset therefore follows from the position alone, and
every dataset goes through its own epochs without gaps, also where the weights change. A dataset that has a
weight has a slot in every block, be its share ever so small.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.loader.order import derive_key

BLOCK = 10_000


class Weight(NamedTuple):
    """A dataset's weight from a step on."""

    step: int
    weight: float


class Turn(NamedTuple):
    """Number ``position`` of the endless sequence of dataset ``stream``."""

    stream: int
    position: int


def weights_by_step(weights: Sequence[Sequence[Weight]]) -> dict[int, list[float]]:
    """The weights of all datasets by the step that they hold from.

    ``weights``: the changes of each dataset's, in order, the first at step 0. Raises AnimaticError if at some
    step one is negative, or none is positive.
    """
    held = {
        step: [
            next(change.weight for change in reversed(changes) if change.step <= step) for changes in weights
        ]
        for step in sorted({change.step for changes in weights for change in changes})
    }
    for shares in held.values():
        _require_shares(shares)
    return held


class Mixture:
    """The turns of all positions; safe to share between threads."""

    def __init__(self, weights: Mapping[int, Sequence[float]], seed: int) -> None:
        """``weights`` of the datasets, by the position that they hold from; position 0 must be among them.

        Raises AnimaticError if weights are negative, or none is positive.
        """
        self._phases: list[_Phase] = []
        for start, shares in sorted(weights.items()):
            begun = np.asarray(self.shown(start)) if self._phases else np.zeros(len(shares), np.int64)
            self._phases.append(_Phase(start, begun, _quotas(shares), seed))

    def turn(self, position: int) -> Turn:
        """Whose turn ``position`` (0, 1, 2, …) is."""
        phase = self._phase(position)
        return phase.turn(position - phase.start)

    def shown(self, position: int) -> list[int]:
        """Samples of each dataset before ``position``."""
        phase = self._phase(position)
        return (phase.begun + phase.counts(position - phase.start)).tolist()

    def _phase(self, position: int) -> "_Phase":
        return next(phase for phase in reversed(self._phases) if phase.start <= position)


class _Phase:
    """The positions from ``start`` on; ``begun`` samples of each dataset were shown before them."""

    def __init__(
        self, start: int, begun: npt.NDArray[np.int64], quotas: npt.NDArray[np.int64], seed: int
    ) -> None:
        self.start, self.begun, self._quotas, self._seed = start, begun, quotas, seed
        self._known: dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}

    def turn(self, offset: int) -> Turn:
        """The turn ``offset`` positions into the phase."""
        block, slot = divmod(offset, BLOCK)
        streams, ranks = self._block(block)
        stream = int(streams[slot])
        return Turn(stream, int(self.begun[stream] + block * self._quotas[stream] + ranks[slot]))

    def counts(self, offset: int) -> npt.NDArray[np.int64]:
        """Turns of each dataset in the first ``offset`` positions of the phase."""
        block, slot = divmod(offset, BLOCK)
        part = np.bincount(self._block(block)[0][:slot], minlength=len(self._quotas))
        return block * self._quotas + part

    def _block(self, number: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each slot of a block its dataset, and how many slots before it are of the same one."""
        known = self._known.get(number)
        if known is None:
            words = np.frombuffer(derive_key("mixture", self._seed, self.start, number)[:16], dtype="<u8")
            order = np.argsort(np.random.Philox(key=words).random_raw(BLOCK), kind="stable")
            streams = np.repeat(np.arange(len(self._quotas)), self._quotas)[order]
            ranks = np.empty(BLOCK, np.int64)
            for stream, quota in enumerate(self._quotas):
                ranks[streams == stream] = np.arange(quota)
            known = streams, ranks
            # Never changed in place: other threads may be looking.
            self._known = {n: b for n, b in self._known.items() if abs(n - number) <= 1} | {number: known}
        return known


def _quotas(weights: Sequence[float]) -> npt.NDArray[np.int64]:
    """Slots of a block for each weight: rounded so that they fill it, the largest remainders up.

    A weight that comes to no slot takes one from the largest.
    """
    _require_shares(weights)
    shares = np.asarray(weights, np.float64)
    exact = shares / shares.sum() * BLOCK
    quotas = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: BLOCK - quotas.sum()]] += 1
    absent = (quotas == 0) & (shares > 0)
    quotas[absent] = 1
    quotas[np.argmax(quotas)] -= absent.sum()
    return quotas


def _require_shares(weights: Sequence[float]) -> None:
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise AnimaticError(f"weights of datasets must not be negative, and one must be positive: {weights}")
