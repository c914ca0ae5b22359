"""A lineage for wide screens: a column for each kind of node, a block of rows for each run.

Lines run between columns and between blocks, so that none crosses a box.
"""

from __future__ import annotations

from orchestration.lineage.page.arranging import column_titles, stacks_of
from orchestration.lineage.page.drawing import (
    Box,
    Drawing,
    Heading,
    Line,
    Point,
    curved,
    rounded_path,
    title_lines,
)
from orchestration.lineage.records import Edge, LineageGraph

WIDTH, HEIGHT = 162.0, 82.0  # of a box
_ACROSS, _DOWN, _BETWEEN = 52.0, 16.0, 40.0  # between columns, boxes of a stack, blocks
_TOP, _MARGIN = 42.0, 4.0
_LETTERS = 19
_TRACKS, _TRACK = 5, 5.0  # lines side by side in a gap, and their distance


def wide_drawing(graph: LineageGraph) -> Drawing:
    """Arrange the boxes and draw the lines."""
    return _Wide(graph).drawing()


class _Wide:
    """Positions of boxes and blocks. ``tops``: the upper end of each block."""

    def __init__(self, graph: LineageGraph) -> None:
        self._graph = graph
        self._boxes: dict[str, Box] = {}
        self._column: dict[str, int] = {}
        self._block: dict[str, int] = {}
        self._tops: list[float] = []
        self._last: set[str] = set()  # of each stack
        self._tracks: dict[str, int] = {}
        self._place_boxes()

    def drawing(self) -> Drawing:
        """The picture."""
        titles = column_titles(self._graph)
        lines = [Line(edge, self._path(edge)) for edge in self._graph.edges]
        return Drawing(
            width=2 * _MARGIN + len(titles) * (WIDTH + _ACROSS) - _ACROSS,
            height=max(box.bottom for box in self._boxes.values()) + _MARGIN,
            boxes=list(self._boxes.values()),
            lines=lines,
            headings=[Heading(self._x(number), title) for number, title in enumerate(titles)],
        )

    def _place_boxes(self) -> None:
        stacks = stacks_of(self._graph)
        y = _TOP
        for block in sorted({stack.block for stack in stacks}):
            self._tops.append(y)
            of_block = [stack for stack in stacks if stack.block == block]
            for stack in of_block:
                for number, node in enumerate(stack.nodes):
                    x, own_y = self._x(stack.column), y + number * (HEIGHT + _DOWN)
                    lines = title_lines(node, _LETTERS, 2)
                    self._boxes[node.key] = Box(node, x, own_y, WIDTH, HEIGHT, lines)
                    self._column[node.key], self._block[node.key] = stack.column, block
                self._last.add(stack.nodes[-1].key)
            y += max(len(stack.nodes) for stack in of_block) * (HEIGHT + _DOWN) - _DOWN + _BETWEEN

    def _x(self, column: int) -> float:
        return _MARGIN + column * (WIDTH + _ACROSS)

    def _path(self, edge: Edge) -> str:
        source, target = self._boxes[edge.source], self._boxes[edge.target]
        steps = self._column[edge.target] - self._column[edge.source]
        if steps == 0:
            return self._along_column(source, target)
        if steps < 0:
            return self._back(source, target)
        if steps == 1 or self._is_free(source, target):
            return curved((source.right, source.middle), (target.x, target.middle))
        return self._over_block(source, target)

    def _along_column(self, source: Box, target: Box) -> str:
        between = [
            box
            for box in self._boxes.values()
            if box.x == source.x and source.y < box.y < target.y and box is not source
        ]
        middle = source.x + WIDTH / 2
        if not between:
            return rounded_path([(middle, source.bottom), (middle, target.y)])
        channel, enter = self._channel(source.right + _ACROSS / 2, source), target.y + 18
        start, end = (source.right, source.middle), (target.right, enter)
        return rounded_path([start, (channel, source.middle), (channel, enter), end])

    def _back(self, source: Box, target: Box) -> str:
        """From a bundle to a run that starts from it: down, left between two blocks, down."""
        enter = self._channel(target.x + WIDTH / 2, source)
        above = self._gap(target, source)
        channel = self._channel(source.x - _ACROSS / 2, source)
        below = self._block[source.node.key] + 1 == self._block[target.node.key]
        if below and source.node.key in self._last:
            leave = source.x + WIDTH / 2
            return rounded_path([(leave, source.bottom), (leave, above), (enter, above), (enter, target.y)])
        out = source.bottom - 14
        start: Point = (source.x, out)
        return rounded_path([start, (channel, out), (channel, above), (enter, above), (enter, target.y)])

    def _over_block(self, source: Box, target: Box) -> str:
        """To a column further right: between two blocks, above that of the target."""
        first = self._channel(source.right + _ACROSS / 2, source)
        second = self._channel(target.x - _ACROSS / 2, source)
        above = self._gap(target, source)
        return rounded_path(
            [
                (source.right, source.middle),
                (first, source.middle),
                (first, above),
                (second, above),
                (second, target.middle),
                (target.x, target.middle),
            ]
        )

    def _is_free(self, source: Box, target: Box) -> bool:
        """Whether no box is between two, as seen along a row."""
        top, bottom = min(source.y, target.y), max(source.bottom, target.bottom)
        return not any(
            source.right < box.x < target.x and box.y < bottom and box.bottom > top
            for box in self._boxes.values()
        )

    def _channel(self, x: float, source: Box) -> float:
        return x + self._offset(source)

    def _gap(self, target: Box, source: Box) -> float:
        return self._tops[self._block[target.node.key]] - _BETWEEN / 2 + self._offset(source)

    def _offset(self, source: Box) -> float:
        """Lines from different sources are side by side."""
        track = self._tracks.setdefault(source.node.key, len(self._tracks) % _TRACKS)
        return (track - _TRACKS // 2) * _TRACK
