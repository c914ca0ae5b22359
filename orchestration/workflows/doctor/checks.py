"""What a check found, and which nodes of a cluster it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.cluster.probe import ClusterFacts, NodeFacts, RayNode

LIBRARIES = ("torch", "ray", "deepspeed", "mlflow", "wandb", "av", "decord", "diffusers", "open_clip_torch")
LEAST_DISK_GB = 2.0
LEAST_MEMORY_GB = 4.0
LEAST_SHARED_MEMORY_GB = 1.0
GB = 1e9
_NAMED = 4  # nodes in a line; of more, the number


@dataclass(frozen=True)
class Check:
    """One check. ``needed``: work is impossible if it fails; otherwise it is only informative.

    ``found`` of a failed check ends with the fix.
    """

    name: str
    ok: bool
    found: str
    needed: bool = True


@dataclass(frozen=True)
class Named:
    """A node that answered, with a name that no other node has."""

    name: str
    node: RayNode
    facts: NodeFacts


def node_names(nodes: Sequence[RayNode]) -> dict[str, str]:
    """By id, the host name of each node; with its address, or its id, where that is not its own."""
    hosts = Counter(node.host for node in nodes)
    pairs = Counter((node.host, node.address) for node in nodes)

    def name(node: RayNode) -> str:
        if hosts[node.host] == 1:
            return node.host
        own = node.address if pairs[node.host, node.address] == 1 else node.id[:6]
        return f"{node.host} ({own})"

    return {node.id: name(node) for node in nodes}


def answering(cluster: ClusterFacts) -> list[Named]:
    """The nodes of which there are facts."""
    names = node_names([each.node for each in cluster.nodes])
    return [
        Named(names[each.node.id], each.node, each.facts) for each in cluster.nodes if each.facts is not None
    ]


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:_NAMED])} and {more} more"


def values(nodes: Sequence[Named], value: Callable[[Named], str]) -> dict[str, list[str]]:
    """The names of nodes by what ``value`` says of them."""
    grouped: dict[str, list[str]] = {}
    for node in nodes:
        grouped.setdefault(value(node), []).append(node.name)
    return grouped


def by_node(grouped: Mapping[str, Sequence[str]]) -> str:
    """``VALUE on a, b; OTHER on c``; where it is the same everywhere, ``VALUE on all 3 nodes``."""
    if len(grouped) == 1:
        ((value, names),) = grouped.items()
        return f"{value} on {'the node' if len(names) == 1 else f'all {len(names)} nodes'}"
    return on_nodes(grouped)


def on_nodes(grouped: Mapping[str, Sequence[str]]) -> str:
    """``VALUE on a, b; OTHER on c``."""
    return "; ".join(f"{value} on {listed(names)}" for value, names in grouped.items())


def all_pass(name: str, problems: Mapping[str, str], good: str, fix: str, *, needed: bool = True) -> Check:
    """A check that fails where any node has a problem (by its name)."""
    if not problems:
        return Check(name, True, good, needed)
    by_problem: dict[str, list[str]] = {}
    for node, problem in problems.items():
        by_problem.setdefault(problem, []).append(node)
    found = "; ".join(f"{listed(nodes)}: {problem}" for problem, nodes in by_problem.items())
    return Check(name, False, f"{found}: {fix}", needed)
