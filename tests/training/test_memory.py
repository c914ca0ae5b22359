"""The peak of GPU memory is the largest of all processes, and absent on the CPU."""

from unittest.mock import patch

import torch

from training.observe.memory import peak_memory
from training.processes.group import ProcessGroup


def test_the_peak_is_that_of_the_process_with_the_most() -> None:
    group = ProcessGroup(0, 2)
    with (
        patch.object(torch.cuda, "max_memory_allocated", return_value=5),
        patch.object(ProcessGroup, "largest_later", lambda _, value: lambda: max(value, 7)),
    ):
        assert peak_memory(torch.device("cuda:0"), group) == {"memory/peak_bytes": 7.0}


def test_a_cpu_has_none() -> None:
    assert peak_memory(torch.device("cpu"), ProcessGroup(0, 1)) == {}
