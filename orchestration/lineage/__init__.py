"""What a bundle comes from and what became of it: a graph, checked again and displayed."""

from orchestration.lineage.records import Edge, Fact, LineageGraph, Node, NodeKind, State

__all__ = ["Edge", "Fact", "LineageGraph", "Node", "NodeKind", "State"]
