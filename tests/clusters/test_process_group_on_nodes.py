"""Processes of several nodes that a launcher other than Ray has started."""

import sys
from pathlib import Path

import pytest

from tests.support.ray_nodes import environment
from tests.support.two_nodes import Nodes

JOINING = """
from training.processes.group import join_process_group

group = join_process_group(gpu=False)
print("gathered", group.gathered(group.rank), flush=True)
"""


@pytest.mark.slow
def test_processes_find_each_other_where_a_node_s_name_is_an_address_of_its_loopback(
    two: Nodes, tmp_path: Path
):
    launched = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_PORT": "29500"}
    running = [
        node.start(
            [sys.executable, "-c", JOINING],
            environment(tmp_path, MASTER_ADDR="node1", RANK=str(rank), **launched),
        )
        for rank, node in enumerate(two.nodes)
    ]
    for each in running:
        assert each.wait(240) == 0, each.text
        assert "gathered [0, 1]" in each.text
