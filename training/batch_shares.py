"""How the samples of a step are shared by processes and forward passes."""

from dataclasses import dataclass

from core.errors import AnimaticError
from training.config import RunConfig


@dataclass(frozen=True)
class BatchShares:
    """The part of a global batch that one process trains on, and in how many passes.

    Attributes:
        micro_batch: samples per forward pass.
        passes: per step.
    """

    micro_batch: int
    passes: int


def batch_shares(config: RunConfig, processes: int) -> BatchShares:
    """The shares of each of ``processes``, which together make the global batch exactly.

    Batches of buckets are split into as many passes: DeepSpeed has one number for all.

    Raises AnimaticError when a batch cannot be shared evenly.
    """
    total = config.train.global_batch
    if total % processes:
        raise AnimaticError(
            f"train.global_batch {total} cannot be shared by {processes} workers: make it a multiple"
        )
    share = total // processes
    micro_batch = min(config.train.micro_batch or share, share)
    if share % micro_batch:
        raise AnimaticError(
            f"train.micro_batch {micro_batch} does not divide the {share} samples of each of {processes} "
            "workers"
        )
    passes = share // micro_batch
    _check_buckets(config, processes, passes)
    return BatchShares(micro_batch, passes)


def _check_buckets(config: RunConfig, processes: int, passes: int) -> None:
    parts = processes * passes
    for bucket in config.data.buckets:
        batch = bucket.batch or config.train.global_batch
        if batch % parts:
            fitting = " or ".join(str(n * parts) for n in (batch // parts, batch // parts + 1) if n)
            raise AnimaticError(
                f"the batch of {batch} of bucket {bucket} cannot be shared evenly by {processes} workers in "
                f"{passes} passes each (train.global_batch / workers / train.micro_batch): make it {fitting}"
            )
