"""What README.md claims has a test that exists and runs when it says, and a source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.support.paths import GOLDEN, ROOT

README = (ROOT / "README.md").read_text()
COMPARISON = (ROOT / "docs/comparison.md").read_text()
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
PROJECTS = ("animatic", "video2dataset", "DynamiCrafter", "SimpleTuner", "finetrainers", "NeMo Curator")
NO_SOURCE_NEEDED = ("None", "Neither")


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def claims() -> list[str]:
    return [" ".join(each.split()) for each in section(README, "What sets it apart").split("\n- ")[1:]]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of tables, without their headers."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| |") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def decorators(file: Path, name: str) -> list[str]:
    """Those of the test ``name`` of a file, which must exist, and the marks of the whole file."""
    tree = ast.parse(file.read_text())
    (test,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
    return [ast.unparse(each) for each in test.decorator_list] + [m for m in marks if "pytestmark" in m]


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.split(".")[0].strip("*"))
def test_every_claim_names_a_test_and_whether_it_is_slow(claim: str) -> None:
    tests = [(text, link) for text, link in LINK.findall(claim) if text.startswith("`test_")]
    assert tests
    slow = {
        any("mark.slow" in each for each in decorators(ROOT / link, text.strip("`"))) for text, link in tests
    }
    assert slow == {claim.endswith("(slow).")}


def test_no_more_is_claimed_than_can_be_read_at_a_glance() -> None:
    assert 0 < len(claims()) <= 8


def test_the_number_of_published_outputs_is_that_of_the_recorded_cases() -> None:
    (claimed,) = [int(number) for each in claims() for number in re.findall(r"(\d+) outputs", each)]
    recorded = 0
    for case in GOLDEN.glob("*.safetensors"):
        with safe_open(case, "numpy") as outputs:
            recorded += len(outputs.keys())
        recorded += '"grad_norm"' in case.with_suffix(".json").read_text()
    assert claimed == recorded


def test_the_table_compares_what_the_page_compares() -> None:
    table = section(README, "Comparison")
    header = next(line for line in table.splitlines() if line.startswith("| |"))
    assert tuple(cell.strip() for cell in header.strip("| ").split(" | ")) == PROJECTS
    compared = list(rows(table))
    assert [row[0] for row in compared] == re.findall(r"^## (.+)$", COMPARISON, re.MULTILINE)
    assert {len(row) for row in compared} == {1 + len(PROJECTS)}


def test_what_the_page_states_about_others_has_a_source_at_a_version() -> None:
    sources = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", COMPARISON, re.MULTILINE))
    version = r"/blob/[0-9a-f]{40}/|/pull/\d+$|/curator/v\d+\.\d+/"
    assert [url for url in sources.values() if not re.search(version, url)] == []
    stated = list(rows(COMPARISON))
    assert [name for name, _ in stated] == list(PROJECTS) * COMPARISON.count("\n## ")
    unsourced = [(name, text) for name, text in stated if not text.startswith(NO_SOURCE_NEEDED)]
    for name, text in unsourced:
        cited = re.findall(r"\]\[([\w-]+)\]", text)
        assert set(cited) <= sources.keys()
        assert cited or name == "animatic", text
