"""What a drawn lineage consists of, in SVG units."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from orchestration.lineage.records import Edge, Node, NodeKind

Point = tuple[float, float]

KINDS: dict[NodeKind, str] = {
    "source_table": "source table",
    "dataset": "dataset",
    "mixture": "mix",
    "latents": "latents",
    "run": "run",
    "checkpoint": "checkpoint",
    "bundle": "bundle",
    "report": "report",
    "gate": "gate",
    "promotion": "promotion",
    "export": "export",
    "deployment": "deployment",
    "alias": "alias",
}
# The beginnings of titles that repeat what a box states as its kind.
_REPEATED = (
    "table ",
    "dataset ",
    "latents ",
    "run of ",
    "bundle of ",
    "report ",
    "gate ",
    "checkpoint ",
    "export ",
    "deployment ",
)
_RADIUS = 9.0


@dataclass(frozen=True)
class Box:
    """A node at its upper left corner; ``lines``: its title, cut to the width."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]

    @property
    def right(self) -> float:
        """Of its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Of its lower side."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Half of its height."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Line:
    """An edge: the data of an SVG path."""

    edge: Edge
    path: str


@dataclass(frozen=True)
class Heading:
    """The name of a column, at its middle."""

    x: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A whole picture."""

    width: float
    height: float
    boxes: Sequence[Box]
    lines: Sequence[Line]
    headings: Sequence[Heading] = ()


def title_lines(node: Node, letters: int, lines: int) -> list[str]:
    """The title of a node without its kind, in at most this many lines."""
    title = node.title
    for beginning in _REPEATED:
        title = title.removeprefix(beginning)
    return textwrap.wrap(title, letters, max_lines=lines, placeholder="…") or [""]


def rounded_path(points: Sequence[Point]) -> str:
    """A path along straight lines, with round corners."""
    parts = [f"M{_pair(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_RADIUS, _distance(before, corner) / 2, _distance(corner, after) / 2)
        enter, leave = _towards(corner, before, radius), _towards(corner, after, radius)
        parts.append(f"L{_pair(enter)}Q{_pair(corner)} {_pair(leave)}")
    return "".join(parts) + f"L{_pair(points[-1])}"


def curved(start: Point, end: Point) -> str:
    """A path from left to right that begins and ends horizontally."""
    middle = (start[0] + end[0]) / 2
    return f"M{_pair(start)}C{_pair((middle, start[1]))} {_pair((middle, end[1]))} {_pair(end)}"


def _pair(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _distance(one: Point, other: Point) -> float:
    return hypot(one[0] - other[0], one[1] - other[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    whole = _distance(start, end) or 1.0
    return (start[0] + (end[0] - start[0]) * length / whole, start[1] + (end[1] - start[1]) * length / whole)
