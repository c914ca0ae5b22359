"""Ray's notice that a node is about to be withdrawn, as machines of the spot market are."""

from __future__ import annotations

from collections.abc import Set


def preemption_noticed() -> bool:
    """In a worker of Ray Train: whether a node that hosts a worker of the run is being drained.

    ``ray.train.get_preemption_info`` answers the same, but is collective, with a barrier: in threads of
    workers that end at different times it would wait for good. Ray's watcher has called every worker before.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    return get_train_context().preemption_context.preemption_info is not None


def draining_nodes() -> Set[str]:
    """Ids of the nodes that are about to be withdrawn, on which Ray starts nothing more."""
    # As Ray Train's own watcher asks: no public function lists them.
    from ray._private.state import state

    return frozenset(state.get_draining_nodes())
