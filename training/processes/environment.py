"""What the processes of a run run on: Python, packages, machines and GPUs.

Nothing of the environment's variables is recorded: they contain credentials.
"""

import functools
import os
import platform
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from core.errors import AnimaticError
from core.host import host_identity
from core.package_lock import lock_digest
from training.processes.group import ProcessGroup

_CPUS = Path("/proc/cpuinfo")
_DRIVER = Path("/proc/driver/nvidia/version")
_LISTED = 5  # packages that a warning names


@dataclass(frozen=True)
class Gpu:
    """The GPU of one process. ``capability``: of the architecture, as ``9.0``; ``uuid`` names the card."""

    rank: int
    name: str
    memory_bytes: int
    capability: str
    uuid: str


@dataclass(frozen=True)
class Host:
    """A machine or container, its processes and their GPUs. ``driver``: of NVIDIA, None without one."""

    host: str
    ranks: Sequence[int]
    platform: str
    cpu: str
    cores: int
    memory_bytes: int
    gpus: Sequence[Gpu]
    driver: str | None


@dataclass(frozen=True)
class Environment:
    """That of a run.

    Attributes:
        python, platform: of the first process.
        cuda: that torch was built for; None for the CPU.
        lock: sha256 of the sorted lines ``name==version`` of ``packages``.
        packages: version by normalised name, of the first process.
    """

    python: str
    platform: str
    cuda: str | None
    lock: str
    hosts: Sequence[Host]
    packages: Mapping[str, str]

    def as_json(self) -> bytes:
        """The content of a run folder's ``environment.json``."""
        return _RECORD.dump_json(self, indent=1) + b"\n"


_RECORD = TypeAdapter(Environment)


@dataclass(frozen=True)
class _Process:
    machine: str
    host: Host
    gpu: Gpu | None
    packages: Mapping[str, str] | None


def read_environment(path: Path) -> Environment | None:
    """What ``environment.json`` of a run folder records; None for runs of earlier versions, without it.

    Raises AnimaticError where the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return _RECORD.validate_json(path.read_bytes())
    except ValidationError as error:
        raise AnimaticError(
            f"{path} is not the record of an environment: delete it, or restore it from a copy"
        ) from error


def gathered_environment(group: ProcessGroup, device: torch.device) -> tuple[Environment, list[str]]:
    """The environment of all processes, and a line for each machine with other packages. Collective.

    Args:
        device: of this process.
    """
    packages = installed_packages() if group.is_first_on_node else None
    processes = group.gathered(_Process(host_identity(), _host(), _gpu(group.rank, device), packages))
    own = processes[0].packages or {}
    environment = Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cuda=torch.version.cuda,
        lock=lock_digest(own),
        hosts=_hosts(processes),
        packages=own,
    )
    return environment, _differences(processes)


@functools.cache
def installed_packages() -> Mapping[str, str]:
    """Version by normalised name of what this process can import; of duplicates, the one that it imports."""
    found: dict[str, str] = {}
    for each in distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), each.version)
    return dict(sorted(found.items()))


def _host() -> Host:
    """This machine, without its processes."""
    return Host(
        host=socket.gethostname(),
        ranks=(),
        platform=platform.platform(),
        cpu=_first_match(_CPUS, r"^model name\s*:\s*(.+)$") or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=(),
        driver=_first_match(_DRIVER, r"Kernel Module.*?\s(\d+\.[\d.]+)"),
    )


def _gpu(rank: int, device: torch.device) -> Gpu | None:
    if device.type != "cuda":
        return None
    found = torch.cuda.get_device_properties(device)
    capability = f"{found.major}.{found.minor}"
    return Gpu(rank, found.name, found.total_memory, capability, str(found.uuid))


def _hosts(processes: Sequence[_Process]) -> list[Host]:
    """Each machine once, with the ranks and GPUs of its processes."""
    found: dict[str, list[int]] = {}
    for rank, process in enumerate(processes):
        found.setdefault(process.machine, []).append(rank)
    return [
        replace(
            processes[ranks[0]].host,
            ranks=ranks,
            gpus=[gpu for rank in ranks if (gpu := processes[rank].gpu) is not None],
        )
        for ranks in found.values()
    ]


def _differences(processes: Sequence[_Process]) -> list[str]:
    first = processes[0]
    return [
        f"packages on {process.host.host} differ from those on {first.host.host}: "
        f"{_difference(first.packages or {}, process.packages)}; install requirements.lock on all nodes"
        for process in processes
        if process.packages is not None and process.packages != first.packages
    ]


def _difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    listed = [
        f"{name} {found.get(name, 'missing')} instead of {expected.get(name, 'none')}"
        for name in names[:_LISTED]
    ]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join([*listed, *more])


def _first_match(path: Path, pattern: str) -> str | None:
    """What a file of the kernel states; None without the file, as on other systems."""
    found = re.search(pattern, path.read_text(), re.MULTILINE) if path.is_file() else None
    return found[1].strip() if found else None
