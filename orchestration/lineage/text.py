"""A lineage as a tree of text: from the bundle to what it comes from, and to what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestration.lineage.records import Edge, LineageGraph, Node, State

STATE_WORDS: dict[State, str] = {
    "verified": "verified",
    "changed": "CHANGED",
    "missing": "missing",
    "unreachable": "unreachable",
    "not_checked": "not checked",
}
# Of these, only records and sizes are compared unless all bytes are asked for: the line states which.
_IN_TWO_WAYS = ("dataset", "latents", "export")
_SHORT = 12


@dataclass(frozen=True)
class _Branch:
    """A line, and those below it."""

    text: str
    branches: list[_Branch] = field(default_factory=list)


def tree_lines(graph: LineageGraph) -> list[str]:
    """The lines of the tree; what was printed in full before is printed as one line again."""
    root = graph.node(f"bundle:{graph.bundle_id}")
    walk = _Walk(graph, {root.key})
    # Sources first: a decision names other bundles, and their sources would be printed below it.
    before, after = walk.sources(root), walk.products(root)
    sections = [("what it comes from", before), ("what became of it", after)]
    tree = _Branch(_text(root), [_Branch(title, found) for title, found in sections if found])
    return [tree.text, *_rendered(tree.branches)]


class _Walk:
    """The graph from one node on, in either direction. ``seen``: keys that are in the tree already."""

    def __init__(self, graph: LineageGraph, seen: set[str]) -> None:
        self._graph, self._seen = graph, seen

    def sources(self, node: Node) -> list[_Branch]:
        """Everything that a node comes from."""
        return [
            self._branch(self._graph.node(edge.source), edge, down=True)
            for edge in self._graph.edges
            if edge.target == node.key
        ]

    def products(self, node: Node) -> list[_Branch]:
        """Everything that was decided about a node, or made of it, and what else that depends on."""
        further = [
            self._branch(self._graph.node(edge.source), edge, down=True)
            for edge in self._graph.edges
            if edge.target == node.key and node.kind != "bundle" and edge.source not in self._seen
        ]
        return further + [
            self._branch(self._graph.node(edge.target), edge, down=False)
            for edge in self._graph.edges
            if edge.source == node.key and self._graph.node(edge.target).kind != "run"
        ]

    def _branch(self, node: Node, edge: Edge, *, down: bool) -> _Branch:
        if node.key in self._seen:
            return _Branch(f"{node.title}  {_digest(node)}  see above")
        self._seen.add(node.key)
        labelled = edge.target.startswith("mixture:") or edge.label == "compared with"
        label = f"{edge.label}: " if labelled else ""
        return _Branch(label + _text(node), self.sources(node) if down else self.products(node))


def _rendered(branches: list[_Branch], indent: str = "") -> Iterator[str]:
    for branch in branches:
        last = branch is branches[-1]
        yield f"{indent}{'└─' if last else '├─'} {branch.text}"
        yield from _rendered(branch.branches, indent + ("   " if last else "│  "))


def _text(node: Node) -> str:
    state = STATE_WORDS[node.state]
    if node.state != "verified":
        state = f"{state}: {node.reason}"
    elif node.kind in _IN_TWO_WAYS:
        state = f"{state} ({node.reason})"
    return "  ".join(filter(None, (node.title, _digest(node), node.where, state)))


def _digest(node: Node) -> str:
    return node.digest[:_SHORT] if node.digest else ""
