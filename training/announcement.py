"""What a run records as it begins: its inputs, its size, and what it runs on."""

import math
from collections.abc import Collection

from core.code_version import code_version
from training import events
from training.batch_shares import batch_shares
from training.batch_source import BatchSource, summaries_of
from training.config import RunConfig, config_hash
from training.initialisation import Initialisation
from training.processes.environment import Environment


def started(
    config: RunConfig,
    initialisation: Initialisation,
    trainable: Collection[str],
    source: BatchSource,
    *,
    workers: int,
    device: str,
) -> events.Started:
    """The first event of an attempt.

    Args:
        trainable: names of the tensors that are trained.
    """
    sizes = {name: math.prod(transfer.shape) for name, transfer in initialisation.transfers.items()}
    return events.Started(
        config_hash=config_hash(config),
        stage=config.stage,
        preset=config.preset,
        steps=config.train.steps,
        workers=workers,
        device=device,
        parameters=len(sizes),
        trainable=len(trainable),
        weights=sum(sizes.values()),
        trainable_weights=sum(sizes[name] for name in trainable),
        clips=source.size(),
        dataset_digest=source.digest,
        base=initialisation.base,
        parent=initialisation.parent,
        code=code_version(),
        data=source.datasets,
        datasets=summaries_of(source),
    )


def fewer_workers(config: RunConfig, workers: int) -> str | None:
    """What an elastic run records where it has fewer workers than it asks for; None where it has all."""
    if config.launch.min_workers is None or workers >= config.launch.workers:
        return None
    shares = batch_shares(config, workers)
    return (
        f"training with {workers} of {config.launch.workers} workers (launch.min_workers): the batch of "
        f"{config.train.global_batch} in {shares.passes} passes of {shares.micro_batch} samples each"
    )


def surroundings(environment: Environment) -> events.EnvironmentFound:
    """The event of what the processes run on; the packages themselves are in ``environment.json``."""
    return events.EnvironmentFound(
        python=environment.python,
        platform=environment.platform,
        cuda=environment.cuda,
        lock=environment.lock,
        packages=len(environment.packages),
        hosts=environment.hosts,
    )
