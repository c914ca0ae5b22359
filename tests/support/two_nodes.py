"""Several nodes on one machine: network, process and host name of their own, one file system.

A node is a network namespace, joined to the others by a bridge in a namespace of their own, so that the
addresses of two test runs never meet; and a PID, mount and UTS namespace with its own /tmp/ray and /dev/shm.
Every path is the same on all nodes, as on a shared file system.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

NETWORK = "10.77.0"
_PREFIX = "animatic"
_CLUSTERS = itertools.count()
# Process 1 of a node: adopted processes are reaped by bash while it reads. The end of its input, and so of
# the test process, ends every process of the node.
_INIT = """
set -e
hostname "$1"
mount --bind "$2" /etc/hosts
mount --bind "$3" /etc/nsswitch.conf
mkdir -p /tmp/ray
mount -t tmpfs -o size=4g tmpfs /tmp/ray
mount -t tmpfs -o size=2g tmpfs /dev/shm
echo ready
read -r _ || true
"""


def missing() -> str | None:
    """Why this machine cannot run nodes; None where it can."""
    if os.geteuid() != 0:
        return "nodes need root: they are network namespaces"
    for tool in ("ip", "unshare", "nsenter", "mount", "taskset", "bash"):
        if shutil.which(tool) is None:
            return f"nodes need the command {tool}"
    probe = f"{_PREFIX}-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return f"network namespaces are not permitted: {made.stderr.strip()}" if made.returncode else None


class Running:
    """A command on a node. ``output``: the file with its stdout and stderr."""

    def __init__(self, entered: subprocess.Popen[bytes], output: Path) -> None:
        self._entered, self.output = entered, output

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(errors="replace")

    @property
    def returncode(self) -> int | None:
        """Of the command; None while it runs."""
        return self._entered.poll()

    def wait(self, timeout_s: float) -> int:
        """Its exit code. Raises AssertionError, with the end of its output, if it does not end in time."""
        try:
            return self._entered.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.text[-4000:]}") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, which runs as the child of ``nsenter``."""
        for pid in _children(self._entered.pid):
            os.kill(pid, number)


class Node:
    """One node; made by :class:`Nodes`.

    Attributes:
        name: its host name.
        address: its IPv4 address, the same in every cluster of nodes.
    """

    def __init__(self, name: str, address: str, namespace: str, folder: Path) -> None:
        self.name, self.address = name, address
        self._namespace, self._folder = namespace, folder
        self._hosts, self._resolution = folder / f"{name}.hosts", folder / f"{name}.nsswitch"
        self._commands = itertools.count()
        self._init: subprocess.Popen[bytes] | None = None

    def know(self, others: Sequence[Node]) -> None:
        """Write its /etc/hosts. As Debian has it, its own name resolves to an address of its loopback."""
        names = {"127.0.0.1": "localhost", "127.0.1.1": self.name}
        names |= {other.address: other.name for other in others if other is not self}
        self._resolution.write_text("passwd: files\ngroup: files\nhosts: files\n")  # no DNS to wait for
        self._hosts.write_text("".join(f"{address} {name}\n" for address, name in names.items()))

    def boot(self) -> None:
        """Start process 1."""
        command = ["ip", "netns", "exec", self._namespace, "unshare", "--pid", "--fork", "--mount", "--uts"]
        command += ["--kill-child", "--mount-proc", "bash", "-c", _INIT, "init", self.name]
        command += [str(self._hosts), str(self._resolution)]
        self._init = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stdout: IO[bytes] | None = self._init.stdout
        if stdout is None or stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self.name} did not start")

    def start(self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> Running:
        """Start a command with exactly these environment variables."""
        output = self._folder / f"{self.name}-{next(self._commands)}.log"
        entering = [*self.entering(cwd or self._folder), *command]
        with output.open("wb") as file:
            entered = subprocess.Popen(
                entering, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=dict(env)
            )
        return Running(entered, output)

    def entering(self, cwd: Path | str) -> list[str]:
        """The command that runs another one on this node, if its arguments are appended."""
        if self._init is None:
            raise RuntimeError(f"{self.name} is not running")
        [init] = _children(self._init.pid)
        namespaces = ["--mount", "--uts", "--pid", "--net"]
        return ["nsenter", "--target", str(init), *namespaces, f"--wd={cwd}", "--"]

    def run(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, timeout_s: float = 120
    ) -> str:
        """Its output. Raises AssertionError, with that output, if it fails or does not end in time."""
        running = self.start(command, env, cwd)
        code = running.wait(timeout_s)
        assert code == 0, f"exit code {code} of {command}:\n{running.text[-4000:]}"
        return running.text

    def kill(self) -> None:
        """Lose the node: unplug it, then end its processes. The others get no farewell from any of them."""
        if self._init is None:
            return
        unplug = ["ip", "-n", self._namespace, "link", "set", "eth0", "down"]
        subprocess.run(unplug, check=True, capture_output=True)
        self.close()

    def close(self) -> None:
        """End its processes."""
        if self._init is not None:
            self._init.kill()
            self._init.communicate()
            self._init = None


class Nodes:
    """While entered, ``count`` nodes, and those that join later; all of them end with it.

    ``folder``: for the output of their commands.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._count, self._folder = count, folder
        self._name = f"{_PREFIX}-{os.getpid()}-{next(_CLUSTERS)}"
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        _remove_abandoned()
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            _ip("netns", "add", self._name)
            _ip("-n", self._name, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._name, "address", "add", f"{NETWORK}.254/24", "dev", "bridge")
            _ip("-n", self._name, "link", "set", "bridge", "up")
            for _ in range(self._count):
                self.join()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __getitem__(self, index: int) -> Node:
        return self.nodes[index]

    @property
    def namespaces(self) -> list[str]:
        """Their network namespaces, that of the bridge among them."""
        return [self._name, *(f"{self._name}-{number}" for number in range(1, len(self.nodes) + 1))]

    def join(self) -> Node:
        """A new node, with an address that no other had."""
        number = len(self.nodes) + 1
        node = Node(
            f"node{number}", f"{NETWORK}.{number}", namespace := f"{self._name}-{number}", self._folder
        )
        _ip("netns", "add", namespace)
        self.nodes.append(node)
        port = f"port{number}"
        _ip("-n", self._name, "link", "add", port, "type", "veth", "peer", "eth0", "netns", namespace)
        _ip("-n", self._name, "link", "set", port, "master", "bridge", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "address", "add", f"{node.address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "route", "add", "default", "via", f"{NETWORK}.254")
        for each in self.nodes:
            each.know(self.nodes)
        node.boot()
        return node

    def _close(self) -> None:
        for node in self.nodes:
            node.close()
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def _remove_abandoned() -> None:
    """Remove the namespaces of test processes that were killed."""
    with contextlib.suppress(FileNotFoundError):
        for path in Path("/run/netns").iterdir():
            prefix, _, rest = path.name.partition("-")
            pid = rest.partition("-")[0]
            if prefix == _PREFIX and pid.isdigit() and not Path(f"/proc/{pid}").exists():
                subprocess.run(["ip", "netns", "del", path.name], capture_output=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _children(pid: int) -> list[int]:
    """Children of a process of this machine's PID namespace."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
