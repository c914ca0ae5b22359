"""A step of the search: one block against the leaders of some earlier ones, on an actor."""

from dataclasses import dataclass

import numpy as np
import torch

from core.errors import AnimaticError
from pipelines.similar.leaders import NOBODY, Found, Indices, LeaderSearch, Work
from pipelines.similar.stored_blocks import Blocks
from pipelines.similar.vectors import Basis, Vectors, vectors


@dataclass(frozen=True)
class BlockStep:
    """Compare ``block`` with the blocks from ``begin`` to ``end``, before it; ``found``: with those before
    ``begin``. With ``end`` equal to ``block`` it is compared with itself too, and its leaders are stored."""

    block: int
    begin: int
    end: int
    found: Found


@dataclass(frozen=True)
class StepResult:
    """A block's leaders among the blocks up to ``end``, and what was done to find them."""

    block: int
    end: int
    found: Found
    work: Work


class BlockSearcher:
    """Does steps of a search; runs as a Ray actor."""

    def __init__(self, blocks: Blocks, basis: Basis, device: str) -> None:
        self._blocks, self._basis, self._device = blocks, basis, device

    def ready(self) -> None:
        """Multiply in full float32: the tolerance is that of its rounding."""
        torch.set_float32_matmul_precision("highest")

    def make(self, step: BlockStep) -> StepResult:
        """Do one step. Raises AnimaticError if an earlier block or the embeddings cannot be read."""
        self.ready()
        search = LeaderSearch(self._blocks.threshold)
        found = Found(step.found.leader.copy(), step.found.cosine.copy())
        rows, numbers = self._known(step.block)
        chosen = numbers - self._blocks.rows(step.block).start
        mine = Found(found.leader[chosen], found.cosine[chosen])
        for block in range(step.begin, step.end):
            if not (mine.leader == NOBODY).any():
                break
            leaders, leader_numbers = self._leaders(block)
            search.among_earlier(rows, leader_numbers, leaders, mine)
        if step.end == step.block:
            search.among_themselves(rows, numbers, mine)
        found.leader[chosen], found.cosine[chosen] = mine.leader, mine.cosine
        if step.end == step.block:
            self._blocks.write(step.block, found)
        return StepResult(step.block, step.end, found, search.work)

    def _known(self, block: int) -> tuple[Vectors, Indices]:
        """The embeddings of a block's samples that have one, and their numbers in the dataset."""
        stored = self._blocks.embeddings(block)
        known = np.flatnonzero(stored.known)
        numbers = known + self._blocks.rows(block).start
        return vectors(stored.values[known], self._basis, self._device), numbers

    def _leaders(self, block: int) -> tuple[Vectors, Indices]:
        """The leaders of an earlier block, and their numbers in the dataset."""
        found = self._blocks.read(block)
        if found is None:
            raise AnimaticError(
                f"the leaders of block {block} in {self._blocks.folder} were changed by another job; "
                "run this one again"
            )
        rows = self._blocks.rows(block)
        leaders = np.flatnonzero(found.leader == np.arange(rows.start, rows.stop))
        stored = self._blocks.embeddings(block).values[leaders]
        return vectors(stored, self._basis, self._device), leaders + rows.start
