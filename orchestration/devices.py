"""The GPUs of this machine or of a Ray cluster, and the defaults that depend on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Processors:
    """What Ray can start workers on."""

    gpus: int
    cpus: int


def processors() -> Processors:
    """Those of the Ray cluster in RAY_ADDRESS, to which this connects, or else of this machine.

    The head of a cluster often has no GPU, and one machine of many has a part of them.
    Raises AnimaticError if the cluster does not answer.
    """
    if os.environ.get("RAY_ADDRESS", "local") in ("", "local"):
        return Processors(device_count(), os.cpu_count() or 1)
    import ray

    from pipelines.cluster.connect import ensure_ray

    ensure_ray()
    found = ray.cluster_resources()
    return Processors(int(found.get("GPU", 0)), max(1, int(found.get("CPU", 1))))


def preset_for(gpus: int) -> str:
    """``tiny`` without a GPU, ``256`` with one."""
    return "256" if gpus else "tiny"


def default_preset() -> str:
    """That for the processors at hand."""
    return preset_for(processors().gpus)


def actor_settings(workers: int | None, address: str | None) -> dict[str, object]:
    """Settings of a job on Ray actors: by default one for each GPU, or for each core where there is none."""
    local = workers == 0 or address is not None
    found = Processors(device_count(), os.cpu_count() or 1) if local else processors()
    return {
        "workers": workers if workers is not None else found.gpus or found.cpus,
        "gpus_per_worker": 1 if found.gpus else 0,
        "address": address,
    }
