"""What facts about the network, clocks and shared files of a cluster mean."""

from dataclasses import replace

import pytest

from pipelines.cluster.probe import Clock, RdmaDevice
from tests.support.cluster_facts import GPU_NODES, checks, cluster, failed, node, only


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
        (Clock(1.1, 0.001), "clocks: host1: 1.1 s ahead of the driver: synchronise clocks"),
        (Clock(5.0, 4.5), None),
        (Clock(0.99, 0.001), None),
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
