"""A lineage for narrow screens: one box a row, lines at the left."""

from __future__ import annotations

from orchestration.lineage.page.arranging import stacks_of
from orchestration.lineage.page.drawing import Box, Drawing, Line, rounded_path, title_lines
from orchestration.lineage.records import Edge, LineageGraph

WIDTH, HEIGHT, _BETWEEN = 340.0, 62.0, 14.0
_TRACK, _MARGIN = 10.0, 4.0
_LETTERS = 44


def narrow_drawing(graph: LineageGraph) -> Drawing:
    """Arrange the boxes and draw the lines."""
    order = [node for stack in stacks_of(graph) for node in stack.nodes]
    rows = {node.key: row for row, node in enumerate(order)}
    tracks = _tracks(graph.edges, rows)
    left = _MARGIN + _TRACK * (1 + max(tracks.values(), default=0)) + 8
    boxes = {
        node.key: Box(
            node,
            left,
            _MARGIN + row * (HEIGHT + _BETWEEN),
            WIDTH - left - _MARGIN,
            HEIGHT,
            title_lines(node, _LETTERS - int(left / 8), 1),
        )
        for row, node in enumerate(order)
    }
    lines = [
        Line(edge, _path(boxes[edge.source], boxes[edge.target], tracks.get(edge.source)))
        for edge in graph.edges
    ]
    return Drawing(WIDTH, len(order) * (HEIGHT + _BETWEEN) + _MARGIN, list(boxes.values()), lines)


def _tracks(edges: tuple[Edge, ...], rows: dict[str, int]) -> dict[str, int]:
    """The track of the lines that leave a node; none where it has only a line to the next row."""
    spans: dict[str, tuple[int, int]] = {}
    for edge in edges:
        start, end = rows[edge.source], rows[edge.target]
        if end != start + 1:
            low, high = spans.get(edge.source, (start, start))
            spans[edge.source] = min(low, end), max(high, end)
    taken: list[list[tuple[int, int]]] = []
    found: dict[str, int] = {}
    for source, span in sorted(spans.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        free = (n for n, others in enumerate(taken) if not any(_overlap(span, other) for other in others))
        track = next(free, len(taken))
        if track == len(taken):
            taken.append([])
        taken[track].append(span)
        found[source] = track
    return found


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _path(source: Box, target: Box, track: int | None) -> str:
    if 0 < target.y - source.bottom <= _BETWEEN:
        x = source.x + 22
        return rounded_path([(x, source.bottom), (x, target.y)])
    assert track is not None
    x, out, into = source.x - 8 - _TRACK * (track + 0.5), source.middle + 8, target.middle - 8
    return rounded_path([(source.x, out), (x, out), (x, into), (target.x, into)])
