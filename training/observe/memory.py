"""How much memory of its GPU a process has needed."""

import torch

from training.processes.group import ProcessGroup


def peak_memory(device: torch.device, group: ProcessGroup) -> dict[str, float]:
    """The most bytes that torch has allocated on a GPU since the processes began, in the one with the most.

    Empty on the CPU. Validation and the writing of checkpoints count too. Collective.
    """
    if device.type != "cuda":
        return {}
    return {"memory/peak_bytes": float(group.largest_later(torch.cuda.max_memory_allocated(device))())}
