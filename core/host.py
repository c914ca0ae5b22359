"""Which machine a process runs on, as other machines that share a file system can compare it."""

import functools
import hashlib
import os
import socket
from pathlib import Path

# In place of what the machine reports, for machines that cannot be distinguished otherwise.
HOST_VARIABLE = "ANIMATIC_HOST"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
_STARTED = 19  # of the fields after the name: when the process began, in ticks since the boot


def host_identity() -> str:
    """16 hexadecimal digits that equal those of another process only where each can see the other's id.

    Containers may share a host name, and those of one machine share its boot: the namespaces of their
    processes differ.
    """
    return _identity(os.environ.get(HOST_VARIABLE))


def host_name() -> str:
    """The name of this machine, for messages; ``ANIMATIC_HOST`` if set."""
    return os.environ.get(HOST_VARIABLE) or socket.gethostname()


def process_identity(pid: int) -> str:
    """A process of this machine, distinguished from later ones of the same id.

    Raises OSError where there is none.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return f"{host_identity()} {pid} {fields[_STARTED]}"


@functools.cache
def _identity(given: str | None) -> str:
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else ""
    processes = str(_PROCESSES.readlink()) if _PROCESSES.is_symlink() else ""
    described = given or "\n".join([boot, processes, socket.gethostname()])
    return hashlib.sha256(described.encode()).hexdigest()[:16]
