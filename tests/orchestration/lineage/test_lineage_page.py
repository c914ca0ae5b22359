"""The page of a lineage is one file that needs nothing else, and displays any name as text."""

import itertools
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestration.lineage import Edge, Fact, LineageGraph, Node, collect_lineage, tree_lines, write_page
from orchestration.lineage.page.narrow import narrow_drawing
from orchestration.lineage.page.wide import wide_drawing
from tests.support.lineages import Workbench

CHECKED = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script>{{ 7 * 7 }}&amp;'


class Tags(HTMLParser):
    """Names of all elements, and all values of attributes by name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names, self.values = set[str](), dict[str, set[str]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attrs:
            self.values.setdefault(name, set()).add(value or "")


def page(graph: LineageGraph, folder: Path) -> str:
    write_page(folder / "page.html", graph, CHECKED)
    return (folder / "page.html").read_text()


def test_the_page_needs_no_script_and_no_other_file(whole: Workbench, tmp_path: Path) -> None:
    graph = collect_lineage(whole.bundle("final"), whole.workspace)
    text = page(graph, tmp_path)
    tags = Tags(text)
    assert not tags.names & {"script", "link", "img", "iframe"}
    assert not re.search(r"@import|url\((?!#)", text)
    anchors = {value.removeprefix("#") for value in tags.values["href"]}
    assert anchors == tags.values["id"] - {"wide-tip", "narrow-tip"}
    assert len(anchors) == len(graph.nodes)
    assert text == page(graph, tmp_path)
    assert "2026-11-26 12:00 UTC" in text and "champion of tiny" in text
    assert all(node.digest is None or node.digest in text for node in graph.nodes)


def hostile_graph() -> LineageGraph:
    nodes = (
        Node("run:1", "run", f"run {HOSTILE}", None, "changed", HOSTILE, HOSTILE, (Fact(HOSTILE, HOSTILE),)),
        Node("bundle:b", "bundle", "\N{FAMILY}" * 500, "b", "unreachable", "x" * 5000),
    )
    return LineageGraph("b", nodes, (Edge("run:1", "bundle:b", HOSTILE),))


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    tags = Tags(page(hostile_graph(), tmp_path))
    assert "script" not in tags.names
    assert "{{ 7 * 7 }}" in page(hostile_graph(), tmp_path)


def test_states_are_words_and_shapes_besides_colours(tmp_path: Path) -> None:
    text = page(hostile_graph(), tmp_path)
    for word in ("changed", "unreachable"):
        assert re.search(rf'class="state"[^>]*>{word}<', text)
    assert '<div class="alarm">' in text


@pytest.mark.parametrize("draw", [wide_drawing, narrow_drawing])
def test_boxes_do_not_overlap_and_lines_stay_inside_of_the_picture(whole: Workbench, draw) -> None:
    drawing = draw(collect_lineage(whole.bundle("final"), whole.workspace))
    for number, box in enumerate(drawing.boxes):
        assert box.x >= 0 and box.right <= drawing.width and box.bottom <= drawing.height
        for other in drawing.boxes[number + 1 :]:
            beside = box.right <= other.x or other.right <= box.x
            assert beside or box.bottom <= other.y or other.bottom <= box.y, (box.node, other.node)
    for line in drawing.lines:
        points = [tuple(map(float, pair.split(","))) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", line.path)]
        assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points), line.edge


def test_no_line_crosses_a_box(whole: Workbench) -> None:
    drawing = wide_drawing(collect_lineage(whole.bundle("final"), whole.workspace))
    for line in drawing.lines:
        if "C" in line.path:  # curves stay between two columns, or where no box is
            continue
        points = [tuple(map(float, pair.split(","))) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", line.path)]
        for (x, y), (to_x, to_y) in itertools.pairwise(points):
            for box in drawing.boxes:
                inside = max(x, to_x) > box.x + 1 and min(x, to_x) < box.right - 1
                inside &= max(y, to_y) > box.y + 1 and min(y, to_y) < box.bottom - 1
                assert not inside, (line.edge, box.node.title)


def test_the_tree_has_every_part_once(whole: Workbench) -> None:
    graph = collect_lineage(whole.bundle("final"), whole.workspace)
    lines = tree_lines(graph)
    full = [line for line in lines if not line.endswith("see above") and "what " not in line[:12]]
    assert len(full) == len(graph.nodes)


def test_the_tree_has_the_sources_first_and_in_full(whole: Workbench) -> None:
    lines = tree_lines(collect_lineage(whole.bundle("final"), whole.workspace))
    sources = lines.index("├─ what it comes from")
    products = lines.index("└─ what became of it")
    assert sources == 1 < products
    assert lines[2].startswith("│  └─ run of stage") and not lines[3].endswith("see above")
