"""The GPUs of this machine or of a Ray cluster, and the defaults that depend on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError

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
    if _is_alone():
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


def actor_settings(workers: int | None, gpus: int | None, address: str | None) -> dict[str, object]:
    """Settings of a job on Ray actors: by default one for each GPU, or for each core where there is none.

    Args:
        gpus: so many actors with one each, though a cluster has fewer at the moment: nodes may join; 0: none.

    Raises:
        AnimaticError: ``workers`` is another number, or this machine alone has fewer GPUs.
    """
    if gpus:
        _check_gpus(workers, gpus, address)
        return {"workers": gpus, "gpus_per_worker": 1, "address": address}
    local = workers == 0 or address is not None
    found = Processors(device_count(), os.cpu_count() or 1) if local else processors()
    with_gpus = gpus is None and found.gpus > 0
    return {
        "workers": workers if workers is not None else found.gpus if with_gpus else found.cpus,
        "gpus_per_worker": 1 if with_gpus else 0,
        "address": address,
    }


def _check_gpus(workers: int | None, gpus: int, address: str | None) -> None:
    if workers not in (None, gpus):
        raise AnimaticError(
            f"--gpus {gpus} is as many workers, with a GPU each: leave out --workers {workers}"
        )
    if address is None and _is_alone() and gpus > device_count():
        raise AnimaticError(
            f"--gpus is {gpus}, but this machine has {device_count()} GPUs that torch can use: name a "
            "cluster with --address, or pass --gpus 0 for the CPU"
        )


def _is_alone() -> bool:
    """Whether Ray would start on this machine."""
    return os.environ.get("RAY_ADDRESS", "local") in ("", "local")
