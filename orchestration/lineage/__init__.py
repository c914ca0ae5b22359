"""What a bundle comes from and what became of it: a graph, checked again and displayed."""

from orchestration.lineage.ancestors import Ancestor, trace_lineage
from orchestration.lineage.collecting import collect_lineage
from orchestration.lineage.descendants import Descendant, seen_by
from orchestration.lineage.records import Edge, Fact, LineageGraph, Node, NodeKind, State

__all__ = [
    "Ancestor",
    "Descendant",
    "Edge",
    "Fact",
    "LineageGraph",
    "Node",
    "NodeKind",
    "State",
    "collect_lineage",
    "seen_by",
    "trace_lineage",
]
