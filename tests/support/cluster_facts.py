"""Facts of a cluster as they should be, to be changed by tests."""

from dataclasses import replace
from typing import Any

from orchestration.workflows.doctor import Check, judge
from orchestration.workflows.doctor.checks import LIBRARIES
from pipelines.cluster.probe import (
    Clock,
    ClusterFacts,
    Disk,
    Gpu,
    NodeFacts,
    ProbedNode,
    RayNode,
    Software,
)

GB = 10**9
VERSIONS = {**dict.fromkeys(LIBRARIES, "1.0"), "torch": "2.9.0+cu128", "ray": "2.60.0"}
SOFTWARE = Software("3.11.7", VERSIONS, "c0de" * 16)


def node(number: int, *, gpus: int = 0, **facts: Any) -> ProbedNode:
    """Number 0 is the head. ``facts``: fields of NodeFacts that differ from what is right."""
    is_head = not number
    ray_node = RayNode(
        id=f"id{number}",
        address=f"10.77.0.{number + 1}",
        host=f"host{number}",
        cpus=0 if is_head else 8,
        gpus=gpus,
        object_store_bytes=2 * GB,
        is_head=is_head,
    )
    return ProbedNode(ray_node, replace(_facts(number, gpus), **facts), clock=Clock(0.0002, 0.0004))


def cluster(*nodes: ProbedNode, data: str | None = None) -> ClusterFacts:
    """A cluster of the nodes, seen from a driver with the right software."""
    return ClusterFacts(SOFTWARE, "/shared/runs", list(nodes), data)


def _facts(number: int, gpus: int) -> NodeFacts:
    return NodeFacts(
        host=f"host{number}",
        software=SOFTWARE,
        memory_bytes=64 * GB,
        shared_memory=Disk("/dev/shm", 30 * GB, 32 * GB),
        ray_folder=Disk("/tmp/ray/session", 50 * GB, 100 * GB),
        run_folder=Disk("/shared/runs", 500 * GB, 1000 * GB),
        open_files=65536,
        locked_bytes=None,
        environment={},
        interfaces=["eth0", "lo"],
        rdma=[],
        gpus=[Gpu("NVIDIA H100", "570.86")] * gpus,
        torch_gpus=["NVIDIA H100"] * gpus,
        torch_problem=None,
        store_problem=None,
    )


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
