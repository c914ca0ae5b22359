"""The actor that examines its node."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.cluster.probe.facts import NodeFacts
from pipelines.cluster.probe.gpus import driver_gpus, has_gpu_device, torch_gpus
from pipelines.cluster.probe.machine import (
    disk_of,
    interfaces,
    locked_bytes,
    memory_bytes,
    network_environment,
    open_files,
    rdma_devices,
)
from pipelines.cluster.probe.software import read_store, software_here

DRIVER_FILE = "driver"  # in the folder that is exchanged
_SHARED_MEMORY = "/dev/shm"


class NodeProbe:
    """Runs in a process of Ray on the node; all its answers are plain values."""

    def __init__(self) -> None:
        self._listener: socket.socket | None = None

    def time(self) -> float:
        """Of the node's clock, in seconds since 1970."""
        return time.time()

    def listen(self) -> int:
        """Accept connections on a free port, which is returned, until this process ends."""
        self._listener = socket.create_server(("", 0), backlog=1024)
        threading.Thread(target=_accept, args=(self._listener,), daemon=True).start()
        port: int = self._listener.getsockname()[1]
        return port

    def connect(self, peers: Mapping[str, tuple[str, int]], timeout_s: float) -> dict[str, str]:
        """Connect to each peer (host and port by name); those to whom it is impossible, with the reason."""
        if not peers:
            return {}
        with ThreadPoolExecutor(len(peers)) as threads:
            reasons = threads.map(lambda peer: _connection_problem(peer, timeout_s), peers.values())
            return {name: reason for name, reason in zip(peers, reasons, strict=True) if reason}

    def exchange(self, folder: str, own_file: str, token: str) -> str | None:
        """Read the driver's file in a folder that should be shared, and write one.

        Returns:
            The problem; None if there is none.
        """
        try:
            if (Path(folder) / DRIVER_FILE).read_text() != token:
                return f"{folder} contains another file there than the driver's"
            (Path(folder) / own_file).write_text(token)
        except FileNotFoundError:
            return f"it does not see what the driver writes to {Path(folder).parent}"
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return None

    def facts(self, libraries: Sequence[str], run_folder: str, data: str | None) -> dict[str, Any]:
        """The fields of NodeFacts."""
        names, problem = torch_gpus() if has_gpu_device() else ([], None)
        facts = NodeFacts(
            host=platform.node(),
            software=software_here(libraries),
            memory_bytes=memory_bytes(),
            shared_memory=disk_of(_SHARED_MEMORY),
            ray_folder=disk_of(_ray_folder()),
            run_folder=disk_of(run_folder),
            open_files=open_files(),
            locked_bytes=locked_bytes(),
            environment=network_environment(),
            interfaces=interfaces(),
            rdma=rdma_devices(),
            gpus=driver_gpus(),
            torch_gpus=names,
            torch_problem=problem,
            store_problem=None if data is None else read_store(data),
        )
        return dataclasses.asdict(facts)


def _ray_folder() -> str:
    """Where Ray has its sockets, logs and what it moves out of memory."""
    from ray._private import worker

    node = worker._global_node
    return os.path.realpath(node.get_session_dir_path()) if node is not None else "/tmp/ray"


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


def _connection_problem(peer: tuple[str, int], timeout_s: float) -> str | None:
    try:
        socket.create_connection(peer, timeout=timeout_s).close()
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
