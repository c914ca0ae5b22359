"""Which GPU a process takes."""

import os
from unittest.mock import patch

import pytest
import torch

from core.errors import AnimaticError
from training.processes.group import device_index, join_process_group


@pytest.mark.parametrize(("node_rank", "visible", "index"), [(0, 1, 0), (3, 1, 0), (0, 4, 0), (3, 4, 3)])
def test_a_process_takes_its_own_gpu_whether_it_sees_all_or_one(node_rank, visible, index):
    assert device_index(node_rank, visible) == index


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(AnimaticError, match="process 2 of this machine has no GPU of its own, 2 are visible"):
        device_index(2, 2)


def test_deepspeed_finds_the_index_among_visible_gpus_in_the_environment(monkeypatch):
    import deepspeed

    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    with (
        patch.object(torch.cuda, "is_available", return_value=True),
        patch.object(torch.cuda, "device_count", return_value=1),
        patch.object(torch.cuda, "set_device") as chosen,
        patch.object(deepspeed, "init_distributed"),
        patch("training.processes.group.dist.get_rank", return_value=3),
        patch("training.processes.group.dist.get_world_size", return_value=4),
    ):
        group = join_process_group(gpu=True)
    chosen.assert_called_once_with(0)
    assert os.environ["LOCAL_RANK"] == "0"
    assert group.node_rank == 3 and not group.is_first_on_node
