"""How many workers an elastic run on Ray starts with: as many as the cluster has processors for, now."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from core.errors import AnimaticError
from orchestration.launch.preemption import draining_nodes
from orchestration.launch.resources import Wanted
from orchestration.launch.watch import LongWaits, Wait
from training.batch_shares import fitting_workers
from training.config import RunConfig

# For processors to be returned by the workers before, and for a node in place of a lost one, before the run
# makes do with fewer workers.
SETTLE_S = 10.0
# For a node to start a process: one that was cut off does not, and Ray needs some time to notice.
PROBE_S = 30.0
_LOOK_S = 0.5


class ElasticWorkers:
    """Chooses the number of workers before each start: the largest that fits what is free, of those that
    share the batch evenly, from ``launch.workers`` down to ``launch.min_workers``."""

    def __init__(self, config: RunConfig, wanted: Wanted, report: Callable[[str], None]) -> None:
        """Raises AnimaticError where no such number shares the batch."""
        self._fitting = fitting_workers(config)
        self._wanted, self._limit_s = wanted, config.launch.wait_s
        self._report = report

    def choose(self, check: Callable[[], None]) -> int:
        """The number of workers to start with; waits as long as the cluster has too few processors.

        Args:
            check: raises what ends the wait, called twice a second.

        Raises AnimaticError after ``launch.wait_s``.
        """
        began = time.monotonic()
        enough: float | None = None  # since when there have been processors for the fewest workers
        waits = LongWaits(self._report)
        while True:
            check()
            now = time.monotonic()
            free = free_processors(self._wanted.kind)
            found = self._largest(sum(free.values()))
            enough = None if not found else now if enough is None else enough
            settled = enough is not None and now - enough >= SETTLE_S
            if found == self._fitting[0] or settled:
                answering = answering_nodes(free)
                found = self._largest(sum(free[node] for node in answering))
                if found == self._fitting[0] or (found and settled):
                    return found
            if now - began > self._limit_s:
                raise AnimaticError(self._wanted.given_up(now - began))
            waits.see(Wait(f"{self._wanted.waiting()}, for {now - began:.0f} s", "start", now - began))
            time.sleep(_LOOK_S)

    def _largest(self, processors: int) -> int:
        """0 where they suffice for no number of workers."""
        return next((count for count in self._fitting if count <= processors), 0)


def free_processors(kind: str) -> dict[str, int]:
    """Processors that nothing uses, by node, of those that are not about to be withdrawn."""
    import ray
    from ray._private.state import available_resources_per_node

    draining, available = draining_nodes(), available_resources_per_node()
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in draining]
    free = {node: int(available.get(node, {}).get(kind, 0)) for node in alive}
    return {node: count for node, count in free.items() if count}


def answering_nodes(nodes: Collection[str]) -> set[str]:
    """Those of the nodes that start a process within ``PROBE_S``."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe = ray.remote(num_cpus=0, max_retries=0)(_answer)
    asked: dict[Any, str] = {
        probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(): node
        for node in nodes
    }
    if not asked:
        return set()
    ready, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_S)
    for reference in silent:
        ray.cancel(reference, force=True)
    answering = set()
    for reference in ready:
        try:
            ray.get(reference)
            answering.add(asked[reference])
        except RayError:
            pass  # the node was lost meanwhile
    return answering


def _answer() -> None:
    """That a process has started is the answer."""
