"""The GPUs of this machine, and the defaults that depend on them."""

from __future__ import annotations

import os
from pathlib import Path

# Device files of NVIDIA, AMD and WSL drivers.
_DEVICE_FILES = ("nvidia[0-9]*", "kfd", "dxg")


def device_count() -> int:
    """GPUs that torch can use here.

    Without a device file, or with all devices hidden, torch is not imported to count: that takes seconds.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    if not any(next(Path("/dev").glob(pattern), None) for pattern in _DEVICE_FILES):
        return 0
    import torch

    return torch.cuda.device_count()


def default_preset() -> str:
    """``tiny`` without a GPU, ``256`` with one."""
    return "256" if device_count() else "tiny"


def actor_settings(workers: int | None, address: str | None) -> dict[str, object]:
    """Settings of a job on Ray actors: by default one for each GPU, or for each core of a machine without."""
    gpus = device_count()
    return {
        "workers": workers if workers is not None else gpus or os.cpu_count() or 1,
        "gpus_per_worker": 1 if gpus else 0,
        "address": address,
    }
