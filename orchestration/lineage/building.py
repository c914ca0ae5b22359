"""A lineage while it is collected."""

from __future__ import annotations

from graphlib import TopologicalSorter

from orchestration.lineage.records import Edge, LineageGraph, Node


class GraphBuilder:
    """Nodes by key, each added once, and edges between them."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: dict[Edge, None] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def add(self, node: Node) -> str:
        """Add a node unless there is one with its key; returns the key."""
        return self._nodes.setdefault(node.key, node).key

    def link(self, source: str, target: str, label: str) -> None:
        """Add an edge; both nodes may be added later."""
        self._edges[Edge(source, target, label)] = None

    def graph(self, bundle_id: str) -> LineageGraph:
        """The graph, sources first."""
        order = TopologicalSorter[str](dict.fromkeys(self._nodes, ()))
        for edge in self._edges:
            order.add(edge.target, edge.source)
        return LineageGraph(
            bundle_id, tuple(self._nodes[key] for key in order.static_order()), tuple(self._edges)
        )
