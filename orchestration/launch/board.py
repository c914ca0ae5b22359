"""What the launcher and the workers of a run know of each other: a small Ray actor beside the launcher."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from training.processes.signs_of_life import Beat, Failure, Seen

if TYPE_CHECKING:
    from ray.actor import ActorHandle


class Board:
    """Newest beats by rank, the failures in the order they occurred, and the request to stop."""

    def __init__(self) -> None:
        self._beats: dict[int, tuple[Beat, float]] = {}
        self._failures: list[Failure] = []
        self._begun: set[int] = set()
        self._stop, self._signal = asyncio.Event(), 0

    async def begin(self, rank: int) -> None:
        """A worker starts. With the first one of a restart, whichever it is, what is known of those that it
        replaces is forgotten."""
        if rank in self._begun:
            self._begun.clear()
            self._beats.clear()
            self._failures.clear()
        self._begun.add(rank)

    async def beat(self, beat: Beat) -> None:
        """Replace the worker's beat."""
        self._beats[beat.rank] = beat, time.monotonic()

    async def seen(self) -> list[Seen]:
        """Newest beats in the order of ranks."""
        now = time.monotonic()
        return [Seen(beat, now - at) for _, (beat, at) in sorted(self._beats.items())]

    async def fail(self, failure: Failure) -> None:
        """A worker ends with an error."""
        self._failures.append(failure)

    async def failures(self) -> list[Failure]:
        """Those since the workers started, the first one first."""
        return self._failures

    async def stop(self, signum: int) -> None:
        """Ask all workers to stop."""
        self._signal = self._signal or signum
        self._stop.set()

    async def stopped(self) -> int:
        """Wait until workers should stop; the signal that asked for it."""
        await self._stop.wait()
        return self._signal


def start_board() -> ActorHandle[Any]:
    """A board on the node of this process, which ends with it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Every worker waits in a call of its own.
    return ray.remote(num_cpus=0, scheduling_strategy=here, max_concurrency=100_000)(Board).remote()
