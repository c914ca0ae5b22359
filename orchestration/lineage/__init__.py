"""What a bundle comes from and what became of it: a graph, checked again and displayed."""

from orchestration.lineage.ancestors import Ancestor, trace_lineage
from orchestration.lineage.collecting import Lineage, collect_lineage, collect_lineage_of
from orchestration.lineage.descendants import Descendant, seen_by
from orchestration.lineage.page import rounded_path, write_page
from orchestration.lineage.records import Edge, Fact, LineageGraph, Node, NodeKind, State
from orchestration.lineage.text import tree_lines

__all__ = [
    "Ancestor",
    "Descendant",
    "Edge",
    "Fact",
    "Lineage",
    "LineageGraph",
    "Node",
    "NodeKind",
    "State",
    "collect_lineage",
    "collect_lineage_of",
    "rounded_path",
    "seen_by",
    "trace_lineage",
    "tree_lines",
    "write_page",
]
