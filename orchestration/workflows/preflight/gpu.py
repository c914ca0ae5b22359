"""Whether a step of a run fits the GPUs of this machine."""

from __future__ import annotations

from collections.abc import Iterator

from orchestration.devices import device_count
from orchestration.workflows.doctor.checks import Check
from training.config import RunConfig


def gpu_memory(config: RunConfig) -> Iterator[Check]:
    """By the estimate of `animatic plan`; nothing without a GPU here, which the launcher reports."""
    if not device_count():
        return
    import torch

    from orchestration.planner.estimate import configured_memory
    from orchestration.planner.memory import GIB

    smallest = min(torch.cuda.get_device_properties(index).total_memory for index in range(device_count()))
    yield judge(configured_memory(config).total / GIB, smallest / GIB, config)


def judge(needed_gib: float, device_gib: float, config: RunConfig) -> Check:
    """A step's GiB against those of a GPU."""
    found = f"a step needs about {needed_gib:.1f} GiB, a GPU has {device_gib:.1f}"
    if needed_gib <= device_gib:
        return Check("gpu memory", True, found, needed=False)
    fix = (
        f"`animatic plan --stage {config.stage} --preset {config.preset} --gpus {config.launch.workers} "
        f"--gpu-memory {device_gib:.0f}` finds settings that fit"
    )
    return Check("gpu memory", False, f"{found}: {fix}", needed=False)
