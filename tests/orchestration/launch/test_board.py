"""What the launcher knows of the workers of a run."""

import asyncio

from orchestration.launch.board import Board
from training.control import Phase
from training.processes.signs_of_life import Beat, Failure


def test_a_failure_after_a_restart_is_kept_whichever_worker_starts_first():
    async def known() -> tuple[list[Failure], list[int]]:
        board = Board()
        for rank in (0, 1):
            await board.begin(rank)
            await board.beat(Beat(rank, "id", "node", 100, Phase.TRAINING, 8, 1.0, 1.0))
        await board.fail(Failure(1, "of the first workers"))
        await board.begin(1)
        await board.fail(Failure(1, "of the second"))
        await board.begin(0)
        return await board.failures(), [each.beat.rank for each in await board.seen()]

    assert asyncio.run(known()) == ([Failure(1, "of the second")], [])
