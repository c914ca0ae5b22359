"""What facts of a cluster mean: each fault is found, where it is, with its fix; a sound cluster passes."""

from dataclasses import replace

import pytest

from orchestration.workflows.doctor import Check, judge
from pipelines.cluster.probe import Clock, ClusterFacts, Disk, Gpu, ProbedNode, RdmaDevice
from tests.support.cluster_facts import GB, SOFTWARE, cluster, node

GPU_NODES = (node(0), node(1, gpus=8), node(2, gpus=8))


def checks(facts: ClusterFacts) -> dict[str, Check]:
    return {check.name: check for check in judge(facts)}


def failed(*nodes: ProbedNode) -> dict[str, str]:
    """By name, what each failed check of a cluster of these nodes found."""
    return {check.name: check.found for check in judge(cluster(*nodes)) if not check.ok}


def only(*nodes: ProbedNode, needed: bool) -> str:
    """What the only failed check found; whether it is ``needed`` is compared."""
    (check,) = (check for check in judge(cluster(*nodes)) if not check.ok)
    assert check.needed is needed, check
    return f"{check.name}: {check.found}"


def test_a_sound_cluster_passes_every_check():
    found = checks(cluster(*GPU_NODES))
    assert all(check.ok for check in found.values()), found
    assert found["torch"].found == "2.9.0 on all 3 nodes"
    assert found["gpus"].found == "16 in Ray, and torch computes on each"
    assert found["nodes"].found == "all 3 answered"


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
        f"{library}: {own} here, but {found}: install the driver's requirements.lock there, or give all "
        "nodes one image"
    )


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
        ("memory_bytes", 2 * GB, True, "memory: host1: 2.0 GB: raise the container's limit"),
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
        ("open_files", 1024, False, "open files: host1: 1024 for a process: raise it"),
    ],
)
def test_too_little_of_something_on_one_node(fact, value, needed, found):
    worker = node(1, gpus=8, **{fact: value})
    assert only(node(0), worker, node(2, gpus=8), needed=needed).startswith(found)


def test_the_same_problem_of_many_nodes_is_one_line():
    nodes = [node(number, gpus=8, open_files=1024) for number in range(1, 8)]
    found = only(node(0), *nodes, needed=False)
    assert found.startswith("open files: host1, host2, host3, host4 and 3 more: 1024 for a process")


@pytest.mark.parametrize(
    ("value", "exists"),
    [
        ("eth", True),
        ("eth0,ib0", True),
        ("=eth", False),
        ("=eth0", True),
        ("ib", False),
        ("^docker,lo", True),
        ("^eth,lo", False),
        ("^=eth", True),
    ],
)
def test_interfaces_that_nccl_should_use(value, exists):
    named = {"NCCL_SOCKET_IFNAME": value}
    nodes = (node(0), node(1, gpus=8, environment=named), node(2, gpus=8, environment=named))
    if exists:
        assert failed(*nodes) == {}
    else:
        assert only(*nodes, needed=True).startswith(
            f"interfaces: host1, host2: NCCL_SOCKET_IFNAME={value}, but it has eth0, lo: name an interface"
        )


def test_gloo_needs_the_exact_name():
    worker = node(1, environment={"GLOO_SOCKET_IFNAME": "eth"})
    assert "interfaces" in failed(node(0, environment={"GLOO_SOCKET_IFNAME": "eth"}), worker)


def test_variables_of_nccl_that_differ_between_gpu_nodes():
    nodes = (node(0), node(1, gpus=8, environment={"NCCL_DEBUG": "INFO"}), node(2, gpus=8))
    assert only(*nodes, needed=False) == (
        "NCCL_DEBUG: INFO on host1; unset on host2: set it for Ray on every node, or on none"
    )


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"rdma": [RdmaDevice("mlx5_0", active=True)]}, None),
        ({"rdma": [RdmaDevice("mlx5_0", active=False)]}, "no port is active"),
        (
            {"rdma": [RdmaDevice("mlx5_0", active=True)], "locked_bytes": 64 << 10},
            "a process may lock 64 KiB of memory",
        ),
        ({"environment": {"NCCL_IB_HCA": "mlx5"}}, "NCCL_IB_HCA=mlx5, but it has no device"),
        ({"environment": {"NCCL_IB_HCA": "=mlx5_0:1"}, "rdma": [RdmaDevice("mlx5_0", active=True)]}, None),
    ],
)
def test_rdma_devices(fields, found):
    nodes = (node(0), node(1, gpus=8, **fields))
    if found is None:
        assert failed(*nodes) == {}
    else:
        assert only(*nodes, needed=False).startswith(f"rdma: host1: {found}: request RDMA devices")


@pytest.mark.parametrize(
    ("clock", "found"),
    [
        (Clock(5.0, 0.001), "clocks: host1: 5.0 s ahead of the driver: synchronise clocks"),
        (Clock(-5.0, 0.001), "clocks: host1: 5.0 s behind the driver: synchronise clocks"),
        (Clock(5.0, 4.5), None),
        (Clock(0.9, 0.001), None),
    ],
)
def test_skewed_clocks(clock, found):
    """What the measurement can be off by is no skew."""
    nodes = (node(0), replace(node(1, gpus=8), clock=clock))
    if found is None:
        assert failed(*nodes) == {}
    else:
        assert only(*nodes, needed=False).startswith(found)


def test_a_blocked_port_names_both_nodes():
    blocked = replace(node(1, gpus=8), unreachable={"id2": "no answer within 5 s"})
    assert only(node(0), blocked, node(2, gpus=8), needed=True).startswith(
        "ports: host1: cannot connect to host2 (no answer within 5 s): allow all TCP ports"
    )


def test_a_run_folder_that_is_not_shared():
    alone = replace(
        node(1, gpus=8), run_folder_problem="it does not see what the driver writes to /shared/runs"
    )
    assert only(node(0), alone, needed=True) == (
        "run folder: host1: it does not see what the driver writes to /shared/runs: set ANIMATIC_RUNS to a "
        "folder on a file system that is mounted at the same path everywhere"
    )


def test_data_that_one_node_cannot_read():
    nodes = (node(0), node(1, gpus=8, store_problem="s3://bucket/data: Unable to locate credentials"))
    found = checks(cluster(*nodes, data="s3://bucket/data"))["data"]
    assert (found.ok, found.needed) == (False, True)
    assert found.found.startswith(
        "host1: s3://bucket/data: Unable to locate credentials: give Ray's processes"
    )
    sound = checks(cluster(*GPU_NODES, data="s3://bucket/data"))["data"]
    assert (sound.ok, sound.found) == (True, "s3://bucket/data is read from every node")


def test_nodes_of_one_name_are_distinguished_by_address_or_id():
    same = [replace(each, node=replace(each.node, host="vm")) for each in (node(0), node(1))]
    found = failed(*[replace(each, facts=replace(each.facts, open_files=1)) for each in same])["open files"]
    assert found.startswith("vm (10.77.0.1), vm (10.77.0.2): 1 for a process")
    same = [replace(each, node=replace(each.node, address="10.0.0.1")) for each in same]
    found = failed(*[replace(each, facts=replace(each.facts, open_files=1)) for each in same])["open files"]
    assert found.startswith("vm (id0), vm (id1): 1 for a process")
