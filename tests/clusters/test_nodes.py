"""The nodes that tests of clusters run on."""

import subprocess
import sys
from pathlib import Path

from tests.support.ray_nodes import until
from tests.support.two_nodes import Nodes

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
SERVER = "import socket; s = socket.create_server(('', 9000)); print('up', flush=True); s.accept()"
CLIENT = "import socket; socket.create_connection(('node1', 9000), timeout=20)"


def test_nodes_reach_each_other_and_nothing_of_them_is_left(nodes_possible, tmp_path: Path):
    with Nodes(2, tmp_path) as nodes:
        names = [node.run(["hostname"], ENVIRONMENT).strip() for node in nodes.nodes]
        assert names == ["node1", "node2"]
        server = nodes[0].start([sys.executable, "-c", SERVER], ENVIRONMENT)
        until(lambda: "up" in server.text, server)
        nodes[1].run([sys.executable, "-c", CLIENT], ENVIRONMENT)
        assert server.wait(20) == 0
        # Its own name is an address of its loopback there, as Debian has it.
        assert nodes[0].run(["getent", "ahostsv4", "node1"], ENVIRONMENT).startswith("127.0.1.1")
        left = nodes[1].start(["sleep", "1000"], ENVIRONMENT)
        joined = nodes.join()
        assert joined.run(["getent", "hosts", "node2"], ENVIRONMENT).split() == ["10.77.0.2", "node2"]
        nodes[1].kill()
        assert left.wait(20) != 0
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        own = {line.split()[0] for line in listed.splitlines()} & set(nodes.namespaces)
        assert len(own) == 4
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not {line.split()[0] for line in listed.splitlines()} & own
