"""The order of the steps of a search: a block can be compared with those before it that are finished.

While the first unfinished block is compared with itself, the next ones are compared with the finished
blocks before it. So all workers are busy once there are more finished blocks than workers, and memory is
that of a few blocks.
"""

from pipelines.similar.block_search import BlockStep, StepResult
from pipelines.similar.leaders import Found
from pipelines.similar.stored_blocks import Blocks

STEP = 8  # earlier blocks in a step at most


class Wavefront:
    """What is ready to be done of a search whose first ``finished`` blocks are done."""

    def __init__(self, blocks: Blocks, finished: int, ahead: int) -> None:
        """``ahead``: blocks that are begun at a time, at most."""
        self._blocks, self._ahead = blocks, ahead
        self.finished = finished
        self._begun: dict[
            int, tuple[int, Found]
        ] = {}  # for each block: compared with so many, and the result
        self._running = set[int]()

    def next_step(self) -> BlockStep | None:
        """A step that can be done now; None if there is none before a further result."""
        for block in range(self.finished, min(self.finished + self._ahead, len(self._blocks))):
            if block in self._running:
                continue
            begin, found = self._begun.get(block, (0, None))
            end = min(begin + STEP, self.finished)
            if end > begin or block == self.finished:
                self._running.add(block)
                return BlockStep(block, begin, end, found or Found.nothing(len(self._blocks.rows(block))))
        return None

    def done(self, result: StepResult) -> None:
        """Take the result of a step."""
        self._running.remove(result.block)
        if result.end == result.block:
            self._begun.pop(result.block, None)
            self.finished += 1
        else:
            self._begun[result.block] = (result.end, result.found)
