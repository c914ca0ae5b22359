"""The memory of a step with a configuration's own settings."""

from __future__ import annotations

from orchestration.planner.memory import Layout, Memory, step_memory
from orchestration.planner.passes import rehearse
from orchestration.planner.sizes import sizes_of
from training.batch_shares import batch_shares
from training.config import RunConfig


def configured_memory(config: RunConfig) -> Memory:
    """Of one process. Raises AnimaticError where the processes cannot share the batch."""
    workers = config.launch.workers
    shares = batch_shares(config, workers)
    work = rehearse(
        config,
        config.train.activation_checkpointing,
        1,
        encoded=config.data.latents is not None,
        half=config.train.precision != "fp32",
    ).of(shares.micro_batch)
    return step_memory(sizes_of(config), Layout.of(config, workers, shares.passes), work)
