"""Checks of this machine that also precede a training run."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

from orchestration.workflows.doctor.checks import GB, LEAST_SHARED_MEMORY_GB, Check

_SHARED_MEMORY = Path("/dev/shm")
_CONNECT_S = 3.0


def shared_memory() -> Check:
    """Room in /dev/shm, through which NCCL's processes of one machine pass tensors."""
    name = "shared memory"
    if not _SHARED_MEMORY.is_dir():
        return Check(name, True, "not used on this system", needed=False)
    total = shutil.disk_usage(_SHARED_MEMORY).total
    found = f"{total / GB:.2f} GB at {_SHARED_MEMORY}"
    if total >= LEAST_SHARED_MEMORY_GB * GB:
        return Check(name, True, found, needed=False)
    fix = "give the container more, as docker run --shm-size=8g, or an emptyDir with medium: Memory"
    return Check(name, False, f"{found}, and NCCL needs {LEAST_SHARED_MEMORY_GB:g} GB: {fix}", needed=False)


def reachable(name: str, url: str) -> Check:
    """Whether the server of a tracker at this URL accepts connections."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return Check(name, True, f"{host}:{port} accepts connections", needed=False)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        fix = "the run goes on without it, and `animatic sync` delivers what it missed"
        return Check(name, False, f"{host}:{port} cannot be reached ({reason}): {fix}", needed=False)
