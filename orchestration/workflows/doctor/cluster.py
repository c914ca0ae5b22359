"""Examine every node of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.workflows.doctor.checks import GB, LIBRARIES, Check, node_names
from orchestration.workflows.doctor.hardware_checks import hardware_checks
from orchestration.workflows.doctor.network_checks import network_checks, silent_nodes
from orchestration.workflows.doctor.software_checks import software_checks
from orchestration.workspace import Workspace
from pipelines.cluster.connect import ensure_ray
from pipelines.cluster.probe import ClusterFacts, Limits, ProbedNode, Request, probe_cluster

INSTALL_S = 900.0


@dataclass(frozen=True)
class ClusterReport:
    """What every node answered, and what that means."""

    nodes: list[ProbedNode]
    checks: list[Check]

    @property
    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns, and a row for each node."""
        names = node_names([each.node for each in self.nodes])
        rows = [[names[each.node.id], each.node.address, *_figures(each)] for each in self.nodes]
        return ["node", "address", "CPUs", "GPUs", "memory GB", "/dev/shm GB", "disk GB"], rows


def examine_cluster(workspace: Workspace, address: str | None, data: str | None) -> ClusterReport:
    """Connect to the cluster as a driver, and examine all its nodes.

    Args:
        address: ``auto``, ``HOST:PORT`` or ``ray://…``; RAY_ADDRESS if None.
        data: URL or path that every node should be able to read.

    Raises:
        AnimaticError: the cluster does not answer, or this machine cannot write to the workspace.
    """
    ensure_ray(address)
    facts = probe_cluster(Request(LIBRARIES, workspace.root, data), _limits())
    return ClusterReport(facts.nodes, judge(facts))


def _limits() -> Limits:
    """In a job that brings its Python packages, each node installs them before anything starts there."""
    import ray

    environment = ray.get_runtime_context().runtime_env
    return Limits(start_s=INSTALL_S) if environment.get("uv") or environment.get("pip") else Limits()


def _figures(each: ProbedNode) -> list[object]:
    """CPUs and GPUs of Ray; memory, size of shared memory and free space of the run folder in GB."""
    counts: list[object] = [f"{each.node.cpus:g}", f"{each.node.gpus:g}"]
    if each.facts is None:
        return [*counts, None, None, None]
    shared, disk = each.facts.shared_memory.total_bytes, each.facts.run_folder.free_bytes
    sizes = (each.facts.memory_bytes, shared, disk)
    return [*counts, *(None if size is None else f"{size / GB:.0f}" for size in sizes)]


def judge(cluster: ClusterFacts) -> list[Check]:
    """All checks of the facts, the most basic ones first."""
    return [
        silent_nodes(cluster),
        *software_checks(cluster),
        *hardware_checks(cluster),
        *network_checks(cluster),
    ]
