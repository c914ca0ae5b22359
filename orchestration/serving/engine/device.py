"""The device and its memory: how a lack of it is reported, giving back what is cached, waiting."""

from __future__ import annotations

import gc
import re

# Of a replica's process, before torch is loaded. By default threads that wait for each other spin, which
# makes a step several times slower as soon as other processes, as those of Ray, need a core.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}

# torch's allocator for the CPU raises a plain RuntimeError, in one of these forms.
_CPU_ALLOCATOR = re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had too little memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR.search(str(error)) is not None


def free_memory() -> None:
    """Give back what nothing refers to any more. Call it where the error and its frames are gone."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def allocated_bytes() -> int | None:
    """Bytes that the device has allocated; None on the CPU."""
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else None


def wait_for_device() -> None:
    """Wait until the device has done what it was given: steps that were only enqueued are no progress."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
