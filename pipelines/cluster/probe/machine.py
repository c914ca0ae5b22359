"""Memory, disks, limits, network and RDMA devices of the machine or container of this process."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

from pipelines.cluster.probe.facts import Disk, RdmaDevice

_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NETWORK_VARIABLES = ("NCCL_", "GLOO_")


def memory_bytes() -> int:
    """Of the machine, or what its container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [_text(Path(path)) for path in _MEMORY_LIMITS]
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def disk_of(path: str) -> Disk:
    """Of the file system of a path, or of what exists of it."""
    existing = next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())
    try:
        usage = shutil.disk_usage(existing)
    except OSError:
        return Disk(path, None, None)
    return Disk(path, usage.free, usage.total)


def open_files() -> int:
    """How many files a process may open: its soft limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def locked_bytes() -> int | None:
    """How much memory a process may lock, as RDMA needs; None: without limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def network_environment() -> dict[str, str]:
    """The variables of NCCL and Gloo."""
    return {name: value for name, value in os.environ.items() if name.startswith(_NETWORK_VARIABLES)}


def interfaces(folder: Path = Path("/sys/class/net")) -> list[str]:
    """Names of the network interfaces."""
    return sorted(path.name for path in folder.glob("*"))


def rdma_devices(folder: Path = Path("/sys/class/infiniband")) -> list[RdmaDevice]:
    """InfiniBand and RoCE devices; none where the kernel has none."""
    return [
        RdmaDevice(device.name, any("ACTIVE" in _text(state) for state in device.glob("ports/*/state")))
        for device in sorted(folder.glob("*"))
    ]


def _text(path: Path) -> str:
    """The content of a kernel's file; "" if it does not exist."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
