"""Two and more nodes on this machine; skipped where it cannot run them."""

from pathlib import Path

import pytest
import ray

from orchestration.demo.footage import write_csv, write_rendered
from tests.support import two_nodes
from tests.support.command import run
from tests.support.ray_nodes import RayNodes
from tests.support.two_nodes import Nodes


@pytest.fixture(scope="session")
def nodes_possible() -> None:
    """Skips, with the reason, where this machine cannot run nodes."""
    reason = two_nodes.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def two(nodes_possible, tmp_path):
    """Two nodes without anything running on them."""
    with Nodes(2, tmp_path / "nodes") as nodes:
        yield nodes


@pytest.fixture
def cluster(nodes_possible, tmp_path):
    """Ray on three nodes: a head without CPUs, and two workers with one each."""
    with Nodes(3, tmp_path / "nodes") as nodes:
        made = RayNodes(nodes, tmp_path)
        made.start()
        yield made


@pytest.fixture(scope="session")
def footage(tmp_path_factory) -> Path:
    """A folder with a table, table.csv, and its videos."""
    folder = tmp_path_factory.mktemp("footage")
    write_csv(folder / "table.csv", write_rendered(folder, range(8), seed=0))
    return folder


@pytest.fixture(scope="session")
def dataset(footage, tmp_path_factory) -> Path:
    """Its clips, ingested on this machine for preset tiny, a row to a unit."""
    output = tmp_path_factory.mktemp("ingested") / "data"
    options = [
        "--videos",
        footage / "videos",
        "--out",
        output,
        "--preset",
        "tiny",
        "--set",
        "unit_rows=1",
        "--no-track",
    ]
    result = run("ingest", footage / "table.csv", *options)
    ray.shutdown()
    assert result.exit_code == 0, result.output
    return output
