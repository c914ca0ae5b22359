"""Writes the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.files import write_text
from core.pages import page_environment
from orchestration.lineage.page.arranging import stacks_of
from orchestration.lineage.page.drawing import KINDS
from orchestration.lineage.page.narrow import narrow_drawing
from orchestration.lineage.page.wide import wide_drawing
from orchestration.lineage.records import LineageGraph, Node, State

TEMPLATE = "page.html"
STATES: dict[State, str] = {
    "verified": "verified",
    "changed": "changed",
    "missing": "missing",
    "unreachable": "unreachable",
    "not_checked": "not checked",
}


@dataclass(frozen=True)
class Relation:
    """Another node, and how it is related."""

    label: str
    node: Node


@dataclass(frozen=True)
class Detail:
    """Everything about one node."""

    node: Node
    sources: Sequence[Relation]
    products: Sequence[Relation]


def write_page(path: Path, graph: LineageGraph, checked: datetime | None = None) -> None:
    """Write the page, replacing an earlier one.

    Args:
        checked: when the states were found out; now if None.
    """
    order = [node for stack in stacks_of(graph) for node in stack.nodes]
    subject = graph.node(f"bundle:{graph.bundle_id}")
    time = (checked or datetime.now(UTC)).astimezone(UTC)
    content = (
        page_environment("orchestration.lineage.page")
        .get_template(TEMPLATE)
        .render(
            subject=subject,
            aliases=[node.title for node in graph.of_kind("alias") if _names(node, graph)],
            counts=_counts(graph),
            changed=graph.changed,
            wide=wide_drawing(graph),
            narrow=narrow_drawing(graph),
            details=[_detail(node, graph) for node in order],
            numbers={node.key: number for number, node in enumerate(order)},
            kinds=KINDS,
            states=STATES,
            checked=time.strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_text(path, content)


def _names(alias: Node, graph: LineageGraph) -> bool:
    """Whether an alias is one of the bundle that the lineage is about."""
    waiting = [alias]
    while waiting:
        node = waiting.pop()
        if node.kind == "bundle":
            return node.digest == graph.bundle_id
        waiting += graph.sources(node.key)
    return False


def _counts(graph: LineageGraph) -> list[tuple[State, int]]:
    found = [node.state for node in graph.nodes]
    return [(state, found.count(state)) for state in STATES if state in found]


def _detail(node: Node, graph: LineageGraph) -> Detail:
    return Detail(
        node,
        [Relation(edge.label, graph.node(edge.source)) for edge in graph.edges if edge.target == node.key],
        [Relation(edge.label, graph.node(edge.target)) for edge in graph.edges if edge.source == node.key],
    )
