"""The order of a lineage's nodes: blocks from top to bottom, one for each run; columns from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestration.lineage.records import LineageGraph, Node, NodeKind

COLUMNS: tuple[tuple[str, tuple[NodeKind, ...]], ...] = (
    ("data", ("source_table", "dataset")),
    ("prepared data", ("mixture", "latents")),
    ("runs", ("run", "checkpoint")),
    ("bundles", ("bundle",)),
    ("reports and gates", ("report", "gate")),
    ("decisions", ("promotion", "alias")),
    ("serving", ("export", "deployment")),
)
_COLUMN = {kind: number for number, (_, kinds) in enumerate(COLUMNS) for kind in kinds}
_FOLLOWING = ("bundle", "checkpoint")


@dataclass(frozen=True)
class Stack:
    """Nodes of one block and one column, in order."""

    block: int
    column: int
    nodes: Sequence[Node]


def stacks_of(graph: LineageGraph) -> list[Stack]:
    """All stacks, by block and column; only columns and blocks with nodes are counted."""
    blocks = _blocks(graph)
    columns = sorted({_COLUMN[node.kind] for node in graph.nodes})
    numbers = {block: number for number, block in enumerate(sorted(set(blocks.values())))}
    found: dict[tuple[int, int], list[Node]] = {}
    for node in graph.nodes:
        place = numbers[blocks[node.key]], columns.index(_COLUMN[node.kind])
        found.setdefault(place, []).append(node)
    return [Stack(*place, list(_in_order(found[place], graph))) for place in sorted(found)]


def column_titles(graph: LineageGraph) -> list[str]:
    """The titles of the columns that have nodes."""
    columns = sorted({_COLUMN[node.kind] for node in graph.nodes})
    return [COLUMNS[column][0] for column in columns]


def _blocks(graph: LineageGraph) -> dict[str, int]:
    """The block of each node: a run begins one, and so does a bundle or checkpoint of unknown origin; what
    comes from these is in the same one; what runs need is in that of the first of them."""
    blocks: dict[str, int] = {}
    begun = 0
    for node in graph.nodes:  # sources first
        sources = [blocks[source.key] for source in graph.sources(node.key) if source.key in blocks]
        if node.kind == "run" or (node.kind in _FOLLOWING and not sources):
            blocks[node.key] = begun
            begun += 1
        elif sources:
            blocks[node.key] = max(sources)
    for node in reversed(graph.nodes):  # products first
        if node.key not in blocks:
            products = [blocks[product.key] for product in graph.products(node.key)]
            blocks[node.key] = min(products, default=0)
    return blocks


def _in_order(nodes: list[Node], graph: LineageGraph) -> Iterator[Node]:
    """Each node after its sources in the same stack, and directly after the last of them where possible."""
    keys, done = {node.key for node in nodes}, set[str]()

    def emit(node: Node) -> Iterator[Node]:
        if node.key in done:
            return
        done.add(node.key)
        for source in graph.sources(node.key):
            if source.key in keys:
                yield from emit(source)
        yield node

    ends = [node for node in nodes if not any(product.key in keys for product in graph.products(node.key))]
    for node in ends:
        yield from emit(node)
