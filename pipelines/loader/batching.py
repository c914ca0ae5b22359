"""What each step's batch consists of: its bucket, and where each of its samples comes from.

Within a dataset every clip is used equally often, whatever its bucket, and each dataset has its weight's
share of all samples. A bucket's share of steps follows: its share of samples divided by its batch size.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from pipelines.loader.bucket_schedule import BucketSchedule
from pipelines.loader.mixture import DatasetPosition, Mixture, Weight, weights_by_step

Shares = list[list[Fraction]]  # of all samples, by dataset and bucket


class RankBatch(NamedTuple):
    """One rank's share of a step's batch. Positions count the samples of their dataset in this bucket."""

    bucket: int
    samples: list[DatasetPosition]


class BatchComposer:
    """Composes the batch of every step; safe to share between threads."""

    def __init__(
        self,
        clips: Sequence[Sequence[int]],
        batch_sizes: Sequence[int],
        weights: Sequence[Sequence[Weight]],
        seed: int,
    ) -> None:
        """The batches of one run.

        Args:
            clips: how many, by dataset and bucket; every dataset must have some.
            batch_sizes: samples of a global batch, by bucket.
            weights: of each dataset, in order of their steps.
            seed: of the run.

        Raises AnimaticError if a weight is negative or none is positive.
        """
        self._clips, self._batch_sizes = clips, batch_sizes
        shares = {step: self._shares(values) for step, values in weights_by_step(weights).items()}
        self._schedule = BucketSchedule({step: self._steps(values) for step, values in shares.items()})
        self._mixtures = [self._mixture(bucket, shares, seed) for bucket in range(len(batch_sizes))]

    def compose(self, step: int, rank: int, world_size: int) -> RankBatch:
        """The share of ``rank``: every ``world_size``-th sample of the step's batch."""
        bucket, number = self._schedule.at(step)
        size, mixture = self._batch_sizes[bucket], self._mixtures[bucket]
        positions = range(number * size + rank, (number + 1) * size, world_size)
        return RankBatch(bucket, [mixture.at(position) for position in positions])

    def counts(self, step: int) -> list[int]:
        """Samples of each dataset before ``step``."""
        steps = self._schedule.counts(step)
        by_bucket = [
            mixture.counts(count * size)
            for mixture, count, size in zip(self._mixtures, steps, self._batch_sizes, strict=True)
        ]
        return [sum(of_dataset) for of_dataset in zip(*by_bucket, strict=True)]

    def _shares(self, weights: Sequence[float]) -> Shares:
        return [
            [Fraction(weight) * Fraction(count, sum(counts)) for count in counts]
            for weight, counts in zip(weights, self._clips, strict=True)
        ]

    def _steps(self, shares: Shares) -> list[Fraction]:
        """Each bucket's share of steps, relative to the others'."""
        samples = [sum(of_bucket, Fraction(0)) for of_bucket in zip(*shares, strict=True)]
        return [count / size for count, size in zip(samples, self._batch_sizes, strict=True)]

    def _mixture(self, bucket: int, shares: dict[int, Shares], seed: int) -> Mixture:
        """The datasets of a bucket's samples; weights change at positions of the bucket's own sequence."""
        by_step = {
            step: [float(of_dataset[bucket]) for of_dataset in values] for step, values in shares.items()
        }
        weights = {
            self._schedule.counts(step)[bucket] * self._batch_sizes[bucket]: values
            for step, values in by_step.items()
            if any(values)
        }
        # A bucket without a clip has no steps, so any weights will do.
        return Mixture(weights or {0: [1.0] * len(self._clips)}, seed)
