"""How much memory a process needs."""

import psutil  # type: ignore[import-untyped]
import torch


def memory_figures(device: torch.device) -> dict[str, float]:
    """Bytes by the name of their metric.

    On a GPU: allocated by torch's tensors now, reserved by torch's allocator now, and the most that was
    allocated at once since the process began; validation and checkpoints count too. On the CPU: the memory of
    the whole process that is resident now.
    """
    if device.type != "cuda":
        return {"memory/resident_bytes": float(psutil.Process().memory_info().rss)}
    return {
        "memory/allocated_bytes": float(torch.cuda.memory_allocated(device)),
        "memory/reserved_bytes": float(torch.cuda.memory_reserved(device)),
        "memory/peak_bytes": float(torch.cuda.max_memory_allocated(device)),
    }
