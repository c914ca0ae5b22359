"""`animatic doctor` on real nodes: what differs between them is found, and a node that hangs is named."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.launch.jobs.package import PACKAGES
from tests.support.paths import ROOT
from tests.support.ray_nodes import BIN, RayNodes, environment
from tests.support.two_nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# A Python without animatic, wherever it is installed; on its node, the folders of the checkout are empty.
WITHOUT_ANIMATIC = """
import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
"""
PROBE = """
import sys
from pathlib import Path

from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.probe import Limits, Request, probe_cluster

ensure_ray()
facts = probe_cluster(Request([], Path(sys.argv[1])), Limits(start_s=10))
for node in facts.nodes:
    print(node.node.host, node.facts is not None, node.silent, sep="|")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def ray_nodes(folder: Path, nodes_possible: None) -> Iterator[RayNodes]:
    """A head, a worker as it should be, and one without run folder, animatic and NCCL's interface."""
    for name in ("runs", "data", "site"):
        (folder / name).mkdir()
    (folder / "site" / "sitecustomize.py").write_text(WITHOUT_ANIMATIC)
    (folder / "data" / "table.csv").touch()
    with Nodes(2, folder / "logs") as nodes:
        cluster = RayNodes(nodes, folder)
        cluster.start()
        other = nodes.join()
        variables = environment(folder, NCCL_SOCKET_IFNAME="ib0", PYTHONPATH=str(folder / "site"))
        for path in (folder / "runs", folder / "data", *(ROOT / package for package in PACKAGES)):
            other.run(["mount", "-t", "tmpfs", "tmpfs", str(path)], variables)
        command = [str(BIN / "ray"), "start", f"--address={cluster.address}", "--num-cpus=1"]
        other.run([*command, "--object-store-memory=100000000", "--disable-usage-stats"], variables)
        yield cluster


def doctor(cluster: RayNodes, folder: Path, *arguments: str) -> tuple[int, str]:
    running = cluster.animatic("doctor", "--data", folder / "data" / "table.csv", *arguments)
    return running.wait(240), running.text


def test_each_fault_of_a_node_is_found(ray_nodes: RayNodes, folder: Path) -> None:
    code, text = doctor(ray_nodes, folder, "--json")
    assert code == 1, text
    result = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    failed = {check["name"]: check["found"] for check in result["checks"] if not check["ok"]}
    named = {"gpus", "code", "run folder", "interfaces", "data", "NCCL_SOCKET_IFNAME"}
    assert failed.keys() - {"open files"} == named
    assert ", but none on node3: " in failed["code"]
    assert failed["run folder"].startswith(f"node3: it does not see what the driver writes to {folder}/runs:")
    assert failed["interfaces"].startswith("node3: NCCL_SOCKET_IFNAME=ib0, but it has eth0, lo:")
    assert failed["data"].startswith("node3: animatic is not installed (")
    assert [node["node"]["address"] for node in result["nodes"]] == ["10.77.0.1", "10.77.0.2", "10.77.0.3"]
    assert not list((folder / "runs").iterdir())


def test_the_table_lists_every_node(ray_nodes: RayNodes, folder: Path) -> None:
    code, text = doctor(ray_nodes, folder)
    assert code == 1
    for number in (1, 2, 3):
        assert f"node{number}  10.77.0.{number}" in text
    assert "error: not fit for work: code, run folder, data, interfaces" in text


def test_a_job_examines_the_cluster_from_outside(ray_nodes: RayNodes, folder: Path) -> None:
    running = ray_nodes.client(ray_nodes.nodes.join(), "doctor", "--json")
    assert running.wait(480) == 1, running.text
    result = json.loads(next(line for line in running.text.splitlines() if line.startswith("{")))
    failed = {check["name"] for check in result["checks"] if check["needed"] and not check["ok"]}
    assert failed == {"run folder", "interfaces"}
    assert len(result["nodes"]) == 3
    assert "error: not fit for work: run folder, interfaces" in running.text


def test_a_node_that_hangs_is_named(ray_nodes: RayNodes, folder: Path) -> None:
    script = folder / "probe.py"
    script.write_text(PROBE)
    head, frozen = ray_nodes.nodes[0], ray_nodes.nodes[1]
    frozen.run(["pkill", "-STOP", "raylet"], environment(folder))  # of that node's processes only
    command = [str(BIN / "python"), str(script), str(folder / "runs")]
    own = {**ray_nodes.environment, "RAY_ADDRESS": ray_nodes.address}
    lines = head.run(command, own, folder, timeout_s=180).splitlines()
    silent = {host: reason for host, answered, reason in (line.split("|") for line in lines if "|" in line)}
    assert silent["node1"] == silent["node3"] == "None"
    assert silent["node2"] == "no answer about its clock within 10 s"
