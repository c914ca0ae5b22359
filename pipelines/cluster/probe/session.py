"""One actor on each node of the cluster, and questions to all of them at once."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.errors import last_line
from pipelines.cluster.probe.facts import RayNode
from pipelines.cluster.probe.node import NodeProbe

_HEAD = "node:__internal_head__"


@dataclass(frozen=True)
class Session:
    """The probes of nodes, by id, and why some of them do not answer; those are asked nothing more."""

    nodes: Sequence[RayNode]
    probes: dict[str, Any]
    silent: dict[str, str] = field(default_factory=dict)

    @property
    def answering(self) -> list[RayNode]:
        return [node for node in self.nodes if node.id not in self.silent]

    def ask(self, question: str, timeout_s: float, call: Callable[[RayNode, Any], Any]) -> dict[str, Any]:
        """What the nodes answered, by id.

        Args:
            question: what nodes are asked for, for the message about those that do not answer.
            call: calls the actor of a node and returns Ray's reference.
        """
        calls = {node.id: call(node, self.probes[node.id]) for node in self.answering}
        if not calls:
            return {}
        finished, _ = ray.wait(list(calls.values()), num_returns=len(calls), timeout=timeout_s)
        answers: dict[str, Any] = {}
        for node, reference in calls.items():
            if reference not in finished:
                self.silent[node] = f"no answer about {question} within {timeout_s:g} s"
                continue
            try:
                answers[node] = ray.get(reference)
            except ray.exceptions.RayError as error:
                self.silent[node] = f"asked for {question}: {last_line(error)}"
        return answers


@contextlib.contextmanager
def probe_session() -> Iterator[Session]:
    """An actor on each living node, which needs no free CPU or GPU; its code travels with it."""
    package = sys.modules[__package__]
    cloudpickle.register_pickle_by_value(package)
    nodes = living_nodes()
    try:
        with _quiet():
            session = Session(nodes, {node.id: _start(node) for node in nodes})
            try:
                yield session
            finally:
                for actor in session.probes.values():
                    ray.kill(actor)
    finally:
        cloudpickle.unregister_pickle_by_value(package)


def living_nodes() -> list[RayNode]:
    """The head first, the others by address."""
    nodes = [
        RayNode(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            host=node["NodeManagerHostname"],
            cpus=node["Resources"].get("CPU", 0),
            gpus=node["Resources"].get("GPU", 0),
            object_store_bytes=int(node["Resources"].get("object_store_memory", 0)),
            is_head=_HEAD in node["Resources"],
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(nodes, key=lambda node: (not node.is_head, node.address, node.id))


def _start(node: RayNode) -> Any:
    pinned = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=pinned)(NodeProbe).remote()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Ray's log lines, which repeat what is reported of nodes that do not answer."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
