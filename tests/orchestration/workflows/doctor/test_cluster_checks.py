"""What facts of a cluster mean: each fault is found, where it is, with its fix; a sound cluster passes."""

from dataclasses import replace

import pytest

from orchestration.workflows.doctor.checks import LIBRARIES
from pipelines.cluster.probe import Disk, Gpu
from tests.support.cluster_facts import GB, GPU_NODES, SOFTWARE, checks, cluster, failed, node, only


def test_a_sound_cluster_passes_every_check():
    found = checks(cluster(*GPU_NODES))
    assert all(check.ok for check in found.values()), found
    assert {name: check.found for name, check in found.items() if name not in LIBRARIES} == {
        "nodes": "all 3 answered",
        "python": "3.11.7 on all 3 nodes",
        "code": "c0dec0dec0de on all 3 nodes",
        "gpus": "16 in Ray, and torch computes on each",
        "equal gpus": "8 x NVIDIA H100 on all 2 nodes",
        "gpu driver": "570.86 on all 2 nodes",
        "memory": "64 GB or more on each node",
        "shared memory": "32.0 GB or more",
        "disk of Ray": "50 GB free or more",
        "disk of runs": "500 GB free or more",
        "open files": "65536 or more for a process",
        "ports": "nodes connect to one another at free ports",
        "clocks": "within 0.000 s of the driver's",
        "run folder": "/shared/runs is shared by the driver and all nodes",
        "interfaces": "eth0, lo on all 3 nodes",
    }
    assert found["torch"].found == "2.9.0 on all 3 nodes"
    informative = {name for name, check in found.items() if not check.needed}
    assert informative == {"equal gpus", "gpu driver", "shared memory", "open files", "clocks"}


def test_a_single_node_is_a_cluster():
    found = checks(cluster(node(0)))
    assert (found["nodes"].found, found["ports"].found) == ("the one node answered", "a single node")
    assert found["torch"].found == "2.9.0 on the node"


def test_nothing_but_silence_is_judged_where_no_node_answers():
    silent = replace(node(0), facts=None, clock=None, silent="no answer about its clock within 90 s")
    found = checks(cluster(silent))
    assert [name for name, check in found.items() if check.needed and not check.ok] == ["nodes"]
    assert found["interfaces"].found == found["equal gpus"].found == "no node answered"


AT_THE_LIMIT = {
    "memory_bytes": 4 * GB,
    "shared_memory": Disk("/dev/shm", GB, 2 * GB),  # of Ray's object store
    "ray_folder": Disk("/tmp/ray", 5 * GB, 100 * GB),
    "run_folder": Disk("/shared/runs", 2 * GB, 1000 * GB),
    "open_files": 8192,
}


@pytest.mark.parametrize("fact", AT_THE_LIMIT)
def test_just_enough_of_something_passes(fact):
    assert failed(node(0), node(1, gpus=8, **{fact: AT_THE_LIMIT[fact]})) == {}


def test_a_cluster_without_gpus_passes_but_for_a_remark():
    assert failed(node(0), node(1)) == {"gpus": "none in the cluster: preset tiny runs on CPUs"}
    assert not checks(cluster(node(0)))["gpus"].needed


def test_a_node_that_does_not_answer_is_named():
    silent = replace(node(2, gpus=8), facts=None, clock=None, silent="no answer about its clock within 90 s")
    assert only(node(0), node(1, gpus=8), silent, needed=True) == (
        "nodes: host2: no answer about its clock within 90 s: look at Ray's logs there, restart Ray on it, "
        "or remove it"
    )


@pytest.mark.parametrize(
    ("library", "version", "found"),
    [("torch", "2.8.0+cu128", "2.8.0 on host2"), ("ray", None, "none on host2"), ("torch", "2.9.0+cpu", "")],
)
def test_another_version_of_a_library_on_one_node(library, version, found):
    """Builds of one version, for CPUs and for CUDA, count as equal."""
    other = replace(SOFTWARE, libraries={**SOFTWARE.libraries, library: version})
    nodes = (node(0), node(1, gpus=8), node(2, gpus=8, software=other))
    if not found:
        assert failed(*nodes) == {}
        return
    own = SOFTWARE.libraries[library].partition("+")[0]
    assert only(*nodes, needed=True) == (
        f"{library}: {own} here, but {found}: install requirements.lock on every node, or give all "
        "nodes one image"
    )


def test_a_library_that_is_installed_nowhere():
    without = replace(SOFTWARE, libraries={**SOFTWARE.libraries, "deepspeed": None})
    nodes = [replace(each, facts=replace(each.facts, software=without)) for each in GPU_NODES]
    found = checks(replace(cluster(*nodes), driver=without))["deepspeed"]
    assert not found.ok
    assert found.found.startswith("not installed: install requirements.lock on every node")


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("python", "3.12.1", "python: 3.11.7 here, but 3.12.1 on host2: start Ray there with"),
        ("code", "0" * 64, "code: c0dec0dec0de here, but 000000000000 on host2: submit jobs with --address"),
        ("code", None, "code: c0dec0dec0de here, but none on host2: submit jobs"),
    ],
)
def test_another_python_or_code_on_one_node(field, value, found):
    other = node(2, gpus=8, software=replace(SOFTWARE, **{field: value}))
    assert only(node(0), node(1, gpus=8), other, needed=True).startswith(found)


def test_all_nodes_differ_from_the_driver():
    other = replace(SOFTWARE, python="3.12.1")
    found = only(node(0, software=other), node(1, gpus=1, software=other), needed=True)
    assert found.startswith("python: 3.11.7 here, but 3.12.1 on all 2 nodes")


def test_gpus_that_torch_cannot_use():
    broken = node(2, gpus=8, torch_gpus=[], torch_problem="The NVIDIA driver on your system is too old")
    assert only(node(0), node(1, gpus=8), broken, needed=True).startswith(
        "gpus: host2: Ray has 8, torch can use 0 (The NVIDIA driver on your system is too old): install"
    )


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (node(2), "8 x NVIDIA H100 on host1; none on host2"),
        (node(2, gpus=4), "8 x NVIDIA H100 on host1; 4 x NVIDIA H100 on host2"),
        (
            node(2, gpus=8, torch_gpus=["NVIDIA A100"] * 8),
            "8 x NVIDIA H100 on host1; 8 x NVIDIA A100 on host2",
        ),
        (
            node(2, torch_gpus=["NVIDIA H100"]),
            "8 x NVIDIA H100 on host1; 1 x NVIDIA H100 that Ray was not given on host2",
        ),
    ],
)
def test_workers_with_other_gpus(other, found):
    assert only(node(0), node(1, gpus=8), other, needed=False).startswith(f"equal gpus: {found}: the slowest")


def test_another_driver_of_gpus():
    other = node(2, gpus=8)
    other = replace(other, facts=replace(other.facts, gpus=[Gpu("NVIDIA H100", "535.1")] * 8))
    assert only(node(0), node(1, gpus=8), other, needed=False) == (
        "gpu driver: 570.86 on host1; 535.1 on host2: install one version"
    )


@pytest.mark.parametrize("on_worker", [True, False])
def test_small_shared_memory_fails_where_there_are_gpus(on_worker):
    small = Disk("/dev/shm", 67_000_000, 67_108_864)
    nodes = [node(0, shared_memory=small), node(1, gpus=8)]
    if on_worker:
        nodes = [node(0), node(1, gpus=8, shared_memory=small)]
    found = only(*nodes, needed=on_worker)
    assert found.startswith(
        f"shared memory: host{int(on_worker)}: 0.07 GB: give containers a larger /dev/shm"
    )


def test_shared_memory_smaller_than_the_object_store():
    small = node(1, gpus=8, shared_memory=Disk("/dev/shm", GB, int(1.5 * GB)))
    assert "host1: 1.5 GB for Ray's object store of 2.0 GB" in only(node(0), small, needed=True)


@pytest.mark.parametrize(
    ("fact", "value", "needed", "found"),
    [
        ("memory_bytes", 3.9 * GB, True, "memory: host1: 3.9 GB: raise the container's limit"),
        (
            "ray_folder",
            Disk("/tmp/ray", GB, 100 * GB),
            True,
            "disk of Ray: host1: 1.0 GB free at /tmp/ray: free",
        ),
        (
            "ray_folder",
            Disk("/tmp/ray", 40 * GB, 1000 * GB),
            True,
            "disk of Ray: host1: /tmp/ray is 96% full, Ray uses at most 95%: free",
        ),
        ("run_folder", Disk("/runs", 10**8, GB), True, "disk of runs: host1: 0.1 GB free at /runs: free"),
        ("run_folder", Disk("/runs", None, None), True, "disk of runs: host1: /runs cannot be examined"),
        ("open_files", 8191, False, "open files: host1: 8191 for a process: raise it"),
    ],
)
def test_too_little_of_something_on_one_node(fact, value, needed, found):
    worker = node(1, gpus=8, **{fact: value})
    assert only(node(0), worker, node(2, gpus=8), needed=needed).startswith(found)


def test_the_same_problem_of_many_nodes_is_one_line():
    nodes = [node(number, gpus=8, open_files=1024) for number in range(1, 8)]
    found = only(node(0), *nodes, needed=False)
    assert found.startswith("open files: host1, host2, host3, host4 and 3 more: 1024 for a process")
    found = only(node(0), *nodes[:5], needed=False)  # one more is named
    assert found.startswith("open files: host1, host2, host3, host4, host5: 1024 for a process")
