"""What a bundle comes from and what became of it, as a graph: nodes with a digest and a state, and edges."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import JsonValue

FORMAT = 1

NodeKind = Literal[
    "source_table",
    "dataset",
    "mixture",
    "latents",
    "run",
    "checkpoint",
    "bundle",
    "report",
    "gate",
    "promotion",
    "export",
    "deployment",
    "alias",
]
State = Literal["verified", "changed", "missing", "unreachable", "not_checked"]


class Fact(NamedTuple):
    """One thing that is known about a node."""

    label: str
    text: str


@dataclass(frozen=True)
class Node:
    """A thing with an identity.

    Attributes:
        key: its name in the graph, as ``bundle:3f2a…``.
        title: for people, one line.
        digest: its identity: a bundle's id, the digest of a dataset, the sha256 of a file. None for what has
            none: an alias, a deployment, a run whose configuration is not known.
        state: ``verified``: it was compared with the digest, as far as ``reason`` states; ``changed``: it
            was, and differs; ``missing``: it is not where it was; ``unreachable``: its store does not answer
            or refuses; ``not_checked``: there is nothing to compare, or it would take long.
        reason: why the state is not ``verified``, or what was compared; one line.
        where: folder, file or URL; relative to the working directory where it is below; None if not known.
        facts: in the order in which they are displayed; labels differ.
    """

    key: str
    kind: NodeKind
    title: str
    digest: str | None
    state: State
    reason: str = ""
    where: str | None = None
    facts: tuple[Fact, ...] = ()

    def __post_init__(self) -> None:
        repeated = [label for label, n in Counter(fact.label for fact in self.facts).items() if n > 1]
        if repeated:
            raise ValueError(f"facts of {self.key} repeat the labels {repeated}")

    def fact(self, label: str) -> str | None:
        """The text of the fact with this label; None without one."""
        return next((fact.text for fact in self.facts if fact.label == label), None)

    def as_json(self) -> dict[str, JsonValue]:
        """All fields; ``facts`` as an object, in order."""
        return {
            "key": self.key,
            "kind": self.kind,
            "title": self.title,
            "digest": self.digest,
            "state": self.state,
            "reason": self.reason,
            "where": self.where,
            "facts": {fact.label: fact.text for fact in self.facts},
        }


class Edge(NamedTuple):
    """``target`` comes from ``source``, both keys of nodes; ``label`` says how, from source to target."""

    source: str
    target: str
    label: str

    def as_json(self) -> dict[str, JsonValue]:
        """All fields."""
        return {"source": self.source, "target": self.target, "label": self.label}


@dataclass(frozen=True)
class LineageGraph:
    """The lineage of one bundle, without cycles.

    Attributes:
        bundle_id: of the bundle that it is about.
        nodes: sources before what comes from them.
        edges: between keys of ``nodes``.
    """

    bundle_id: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def node(self, key: str) -> Node:
        """The node with this key. Raises KeyError."""
        for node in self.nodes:
            if node.key == key:
                return node
        raise KeyError(key)

    def of_kind(self, kind: NodeKind) -> list[Node]:
        """The nodes of a kind, in order."""
        return [node for node in self.nodes if node.kind == kind]

    def sources(self, key: str) -> list[Node]:
        """What a node comes from directly."""
        return [self.node(edge.source) for edge in self.edges if edge.target == key]

    def products(self, key: str) -> list[Node]:
        """What comes from a node directly."""
        return [self.node(edge.target) for edge in self.edges if edge.source == key]

    @property
    def changed(self) -> list[Node]:
        """The nodes whose content is not what it was."""
        return [node for node in self.nodes if node.state == "changed"]

    def as_json(self) -> dict[str, JsonValue]:
        """``format``, ``bundle_id``, ``nodes`` and ``edges``."""
        return {
            "format": FORMAT,
            "bundle_id": self.bundle_id,
            "nodes": [node.as_json() for node in self.nodes],
            "edges": [edge.as_json() for edge in self.edges],
        }
