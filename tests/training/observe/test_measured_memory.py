"""Memory: of torch's allocator on a GPU, of the process on the CPU."""

from unittest.mock import patch

import torch

from training.observe.memory import memory_figures


def test_a_gpu_has_what_is_allocated_reserved_and_the_peak():
    with (
        patch.object(torch.cuda, "memory_allocated", return_value=3),
        patch.object(torch.cuda, "memory_reserved", return_value=6),
        patch.object(torch.cuda, "max_memory_allocated", return_value=5),
    ):
        assert memory_figures(torch.device("cuda:0")) == {
            "memory/allocated_bytes": 3,
            "memory/reserved_bytes": 6,
            "memory/peak_bytes": 5,
        }


def test_a_processor_has_the_memory_of_the_process():
    figures = memory_figures(torch.device("cpu"))
    assert list(figures) == ["memory/resident_bytes"]
    assert figures["memory/resident_bytes"] > 2**20
