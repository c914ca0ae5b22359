"""What is known of a cluster's nodes, as plain records."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Software:
    """Versions of Python and of libraries by name (None: not installed), and the digest of animatic's
    code."""

    python: str
    libraries: dict[str, str | None]
    code: str | None


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver reports it."""

    name: str
    driver: str


@dataclass(frozen=True)
class Disk:
    """Of the file system that contains ``path``; all None where that cannot be read."""

    path: str
    free_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True)
class RdmaDevice:
    """An InfiniBand or RoCE device; ``active``: one of its ports is."""

    name: str
    active: bool


@dataclass(frozen=True)
class NodeFacts:
    """What a node has, as a worker process of Ray finds it.

    Attributes:
        memory_bytes: of the machine, or the limit of its container.
        open_files: how many a process may open.
        locked_bytes: how much memory a process may lock; None: without limit.
        environment: variables of NCCL and Gloo.
        interfaces: names of network interfaces.
        gpus: by the driver; none where its tool is missing.
        torch_gpus: names of those that torch can use.
        torch_problem: why torch cannot use any, where there are some.
        store_problem: why the data cannot be read from there; None if they can, or none were named.
    """

    host: str
    software: Software
    memory_bytes: int
    shared_memory: Disk
    ray_folder: Disk
    run_folder: Disk
    open_files: int
    locked_bytes: int | None
    environment: dict[str, str]
    interfaces: list[str]
    rdma: list[RdmaDevice]
    gpus: list[Gpu]
    torch_gpus: list[str]
    torch_problem: str | None
    store_problem: str | None


@dataclass(frozen=True)
class Clock:
    """Seconds by which a node's clock is ahead of the driver's, and how far the measurement can be off."""

    ahead_s: float
    uncertainty_s: float


@dataclass(frozen=True)
class RayNode:
    """A node as Ray knows it; ``object_store_bytes`` of its memory are Ray's object store."""

    id: str
    address: str
    host: str
    cpus: float
    gpus: float
    object_store_bytes: int
    is_head: bool


@dataclass(frozen=True)
class ProbedNode:
    """What one node answered.

    Attributes:
        silent: why there are no facts; None if there are.
        run_folder_problem: why it does not share the run folder with the driver; None if it does.
        unreachable: by address of another node, why no connection to it was possible.
    """

    node: RayNode
    facts: NodeFacts | None = None
    silent: str | None = None
    clock: Clock | None = None
    run_folder_problem: str | None = None
    unreachable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterFacts:
    """The driver's software, and what every node answered.

    Attributes:
        run_folder: absolute, on the driver.
        data: URL or path that nodes should be able to read; None if none was named.
    """

    driver: Software
    run_folder: str
    nodes: list[ProbedNode]
    data: str | None = None
