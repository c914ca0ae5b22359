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

    An elastic run (``launch.min_workers``) takes no more samples in a pass than with ``launch.workers``
    processes, for which its memory suffices: with fewer of them it takes more passes.

    Raises AnimaticError when a batch cannot be shared evenly.
    """
    total = config.train.global_batch
    if total % processes:
        raise AnimaticError(
            f"train.global_batch {total} cannot be shared by {processes} workers: make it a multiple"
        )
    share = total // processes
    micro_batch = min(config.train.micro_batch or share, share)
    if config.launch.min_workers is not None:
        micro_batch = _elastic_micro_batch(config, share)
    if share % micro_batch:
        raise AnimaticError(
            f"train.micro_batch {micro_batch} does not divide the {share} samples of each of {processes} "
            "workers"
        )
    passes = share // micro_batch
    _check_buckets(config, processes, passes)
    return BatchShares(micro_batch, passes)


def fitting_workers(config: RunConfig) -> list[int]:
    """The numbers of workers with which an elastic run can go on, the largest first.

    Raises AnimaticError where there is none from ``launch.min_workers`` to ``launch.workers``.
    """
    most, least = config.launch.workers, config.launch.min_workers or config.launch.workers
    found = [count for count in range(most, least - 1, -1) if _can_be_shared(config, count)]
    if not found:
        raise AnimaticError(
            f"no number of workers from launch.min_workers {least} to launch.workers {most} shares "
            f"train.global_batch {config.train.global_batch} evenly: change one of them"
        )
    return found


def _can_be_shared(config: RunConfig, processes: int) -> bool:
    try:
        batch_shares(config, processes)
    except AnimaticError:
        return False
    return True


def _elastic_micro_batch(config: RunConfig, share: int) -> int:
    """The most samples of a pass that divide the share and fit where ``launch.workers`` processes fit."""
    most = config.train.micro_batch or max(config.train.global_batch // config.launch.workers, 1)
    return next(size for size in range(min(most, share), 0, -1) if share % size == 0)


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
