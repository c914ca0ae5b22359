"""Whether nodes have the GPUs, memory and disks that the work needs."""

from __future__ import annotations

from orchestration.workflows.doctor.checks import (
    GB,
    LEAST_DISK_GB,
    LEAST_MEMORY_GB,
    LEAST_SHARED_MEMORY_GB,
    Check,
    Named,
    all_pass,
    answering,
    by_node,
    values,
)
from pipelines.cluster.probe import ClusterFacts, Disk

LEAST_OPEN_FILES = 8192
FULLEST_RAY_DISK = 0.95  # of its size: Ray stores nothing on a disk that is fuller


def hardware_checks(cluster: ClusterFacts) -> list[Check]:
    """GPUs, memory, shared memory, disks and limits of every node that answered."""
    nodes = answering(cluster)
    return [
        _usable_gpus(nodes),
        _equal_gpus(nodes),
        _drivers(nodes),
        _memory(nodes),
        _shared_memory(nodes),
        _ray_folder(nodes),
        _run_disk(nodes),
        _open_files(nodes),
    ]


def _usable_gpus(nodes: list[Named]) -> Check:
    """Whether torch can use what Ray promises."""
    problems = {node.name: problem for node in nodes if (problem := _gpu_problem(node))}
    total = sum(int(node.node.gpus) for node in nodes)
    if not total and not problems:
        return Check("gpus", False, "none in the cluster: preset tiny runs on CPUs", needed=False)
    good = f"{total} in Ray, and torch computes on each"
    fix = "install a driver that torch's CUDA supports, or start Ray there with the right --num-gpus"
    return all_pass("gpus", problems, good, fix)


def _gpu_problem(node: Named) -> str | None:
    promised, usable = int(node.node.gpus), len(node.facts.torch_gpus)
    if usable < promised:
        cause = f" ({node.facts.torch_problem})" if node.facts.torch_problem else ""
        return f"Ray has {promised}, torch can use {usable}{cause}"
    return None


def _equal_gpus(nodes: list[Named]) -> Check:
    """Whether nodes that work have the same GPUs: the slowest sets the pace. A head may have none."""
    workers = [node for node in nodes if node.node.gpus or not node.node.is_head] or nodes
    found = values(workers, _gpu_names)
    if len(found) <= 1:
        return Check("equal gpus", True, by_node(found) if found else "no node answered", needed=False)
    fix = "the slowest GPU sets the pace of training, and nodes without do only work for CPUs"
    return Check("equal gpus", False, f"{by_node(found)}: {fix}", needed=False)


def _gpu_names(node: Named) -> str:
    names = node.facts.torch_gpus or [gpu.name for gpu in node.facts.gpus]
    counted = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if not counted:
        return "none"
    return counted if node.node.gpus else f"{counted} that Ray was not given"


def _drivers(nodes: list[Named]) -> Check:
    found = values(
        [node for node in nodes if node.facts.gpus], lambda node: min(gpu.driver for gpu in node.facts.gpus)
    )
    if len(found) <= 1:
        return Check("gpu driver", True, by_node(found) if found else "no GPU", needed=False)
    return Check("gpu driver", False, f"{by_node(found)}: install one version", needed=False)


def _memory(nodes: list[Named]) -> Check:
    least = min((node.facts.memory_bytes for node in nodes), default=0)
    problems = {
        node.name: f"{node.facts.memory_bytes / GB:.1f} GB"
        for node in nodes
        if node.facts.memory_bytes < LEAST_MEMORY_GB * GB
    }
    fix = f"raise the container's limit, {LEAST_MEMORY_GB:g} GB are the least"
    return all_pass("memory", problems, f"{least / GB:.0f} GB or more on each node", fix)


def _shared_memory(nodes: list[Named]) -> Check:
    """NCCL passes tensors between GPUs of a node through /dev/shm, and Ray keeps its objects there."""
    problems = {node.name: problem for node in nodes if (problem := _shared_memory_problem(node))}
    least = min((node.facts.shared_memory.total_bytes or 0 for node in nodes), default=0)
    fix = "give containers a larger /dev/shm: docker run --shm-size, or an emptyDir with medium: Memory"
    gpus = any(node.node.gpus and node.name in problems for node in nodes)
    return all_pass("shared memory", problems, f"{least / GB:.1f} GB or more", fix, needed=gpus)


def _shared_memory_problem(node: Named) -> str | None:
    total = node.facts.shared_memory.total_bytes
    if total is None:
        return "no /dev/shm"
    if total < LEAST_SHARED_MEMORY_GB * GB:
        return f"{total / GB:.2f} GB"
    store = node.node.object_store_bytes
    return f"{total / GB:.1f} GB for Ray's object store of {store / GB:.1f} GB" if total < store else None


def _ray_folder(nodes: list[Named]) -> Check:
    problems = {
        node.name: problem for node in nodes if (problem := _full(node.facts.ray_folder, FULLEST_RAY_DISK))
    }
    fix = "free some of it, or start Ray there with another --temp-dir"
    return all_pass("disk of Ray", problems, _least_free([node.facts.ray_folder for node in nodes]), fix)


def _run_disk(nodes: list[Named]) -> Check:
    problems = {node.name: problem for node in nodes if (problem := _full(node.facts.run_folder, 1.0))}
    good = _least_free([node.facts.run_folder for node in nodes])
    return all_pass("disk of runs", problems, good, "free some of it, or set ANIMATIC_RUNS to another folder")


def _full(disk: Disk, fullest: float) -> str | None:
    if disk.free_bytes is None or not disk.total_bytes:
        return f"{disk.path} cannot be examined"
    used = 1 - disk.free_bytes / disk.total_bytes
    if disk.free_bytes < LEAST_DISK_GB * GB:
        return f"{disk.free_bytes / GB:.1f} GB free at {disk.path}"
    return f"{disk.path} is {used:.0%} full, Ray uses at most {fullest:.0%}" if used > fullest else None


def _least_free(disks: list[Disk]) -> str:
    least = min((disk.free_bytes or 0 for disk in disks), default=0)
    return f"{least / GB:.0f} GB free or more"


def _open_files(nodes: list[Named]) -> Check:
    problems = {
        node.name: f"{node.facts.open_files} for a process"
        for node in nodes
        if node.facts.open_files < LEAST_OPEN_FILES
    }
    least = min((node.facts.open_files for node in nodes), default=0)
    fix = "raise it before Ray starts, as with ulimit -n 65536"
    return all_pass("open files", problems, f"{least} or more for a process", fix, needed=False)
