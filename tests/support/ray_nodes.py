"""A Ray cluster on the nodes of one machine, and the `animatic` command on them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.two_nodes import Node, Nodes, Running
from tests.support.waiting import wait_until

PORT = 6379
BIN = Path(sys.executable).parent
ANIMATIC = str(BIN / "animatic")
_STORE_BYTES = 200 << 20


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Of commands on nodes, with nothing of the test process but its code; ``folder`` is their home."""
    return {
        "PATH": f"{BIN}:/usr/sbin:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ANIMATIC_CACHE": str(folder / "cache"),
        "ANIMATIC_RUNS": str(folder / "runs"),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        # What else this machine does with its memory ends no worker of a test.
        "RAY_memory_monitor_refresh_ms": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_MODE": "offline",
        **variables,
    }


class RayNodes:
    """Ray on nodes: the first is the head, without CPUs for work; every other has one core."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes, self._folder = nodes, folder
        self.address = f"{nodes[0].address}:{PORT}"
        self.dashboard = f"http://{nodes[0].address}:8265"
        self.environment = environment(folder)

    def start(self) -> None:
        """Start Ray on every node."""
        head = self.nodes[0]
        address = [f"--node-ip-address={head.address}", f"--port={PORT}", "--dashboard-host=0.0.0.0"]
        self._ray(head, "--head", *address, "--num-cpus=0")
        for node in self.nodes.nodes[1:]:
            self.start_worker(node)

    def start_worker(self, node: Node) -> None:
        """Have a node join. A worker takes as many threads as its node has cores, and their number decides
        the last bits of its sums."""
        core = self.nodes.nodes.index(node) % (os.cpu_count() or 1)
        self._ray(node, f"--address={self.address}", "--num-cpus=1", core=core)

    def animatic(self, *arguments: object) -> Running:
        """Start the command on the head, as the driver."""
        own = {**self.environment, "RAY_ADDRESS": self.address}
        return self.nodes[0].start([ANIMATIC, *map(str, arguments)], own, self._folder)

    def client(self, node: Node, *arguments: object) -> Running:
        """Start the command on a node, as a client of the cluster's dashboard."""
        command = [ANIMATIC, *map(str, arguments), "--address", self.dashboard]
        return node.start(command, self.environment, self._folder)

    def _ray(self, node: Node, *arguments: str, core: int | None = None) -> None:
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        options = [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        node.run([*pinned, str(BIN / "ray"), "start", *arguments, *options], self.environment)


def hosts_of(run: Path) -> set[str]:
    """The nodes that workers of a run were on, by their logs."""
    logs = [path.read_text() for path in (run / "logs").glob("rank-*.log")]
    return {name for log in logs for name in re.findall(r": (node\d+), \d+ of \d+ cores", log)}


def until(
    holds: Callable[[], object], running: Running, timeout_s: float = 120, every_s: float = 0.05
) -> None:
    """Wait for a moment of a command. Raises AssertionError where it ends before, or that never comes."""

    def ended() -> str | None:
        code = running.returncode
        return None if code is None else f"ended with {code}:\n{running.text[-4000:]}"

    try:
        wait_until(holds, timeout_s, ended, every_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; so far:\n{running.text[-4000:]}") from None
