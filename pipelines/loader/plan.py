"""What each step shows: which bucket's batch, and whose turn each of its samples is.

Within a dataset every clip is shown equally often, whatever bucket it is in, and of all samples each dataset
has its weight's share. The steps of a bucket follow from that: its samples, divided by its batch.
"""

from collections.abc import Sequence
from fractions import Fraction

from pipelines.loader.mixture import Mixture, Turn, Weight, weights_by_step
from pipelines.loader.schedule import Schedule

Shares = list[list[Fraction]]  # of all samples, by dataset and bucket


class Plan:
    """All steps of a run; safe to share between threads."""

    def __init__(
        self,
        clips: Sequence[Sequence[int]],
        batches: Sequence[int],
        weights: Sequence[Sequence[Weight]],
        seed: int,
    ) -> None:
        """``clips`` by dataset and bucket; global ``batches`` of the buckets; ``weights`` of the datasets.

        Every dataset must have clips. Raises AnimaticError if weights are negative, or none is positive.
        """
        self._clips, self._batches = clips, batches
        shares = {step: self._shares(held) for step, held in weights_by_step(weights).items()}
        self._schedule = Schedule({step: self._steps(held) for step, held in shares.items()})
        self._mixtures = [self._mixture(bucket, shares, seed) for bucket in range(len(batches))]

    def turns(self, step: int, rank: int, world_size: int) -> tuple[int, list[Turn]]:
        """A step's bucket, and whose turn each sample of ``rank`` is: every ``world_size``-th of all."""
        bucket, number = self._schedule.turn(step)
        batch, mixture = self._batches[bucket], self._mixtures[bucket]
        mine = range(number * batch + rank, (number + 1) * batch, world_size)
        return bucket, [mixture.turn(position) for position in mine]

    def shown(self, step: int) -> list[int]:
        """Samples of each dataset before a step."""
        each = [
            mixture.shown(steps * batch)
            for mixture, steps, batch in zip(
                self._mixtures, self._schedule.shown(step), self._batches, strict=True
            )
        ]
        return [sum(of_dataset) for of_dataset in zip(*each, strict=True)]

    def _shares(self, weights: Sequence[float]) -> Shares:
        return [
            [Fraction(weight) * Fraction(count, sum(counts)) for count in counts]
            for weight, counts in zip(weights, self._clips, strict=True)
        ]

    def _steps(self, shares: Shares) -> list[Fraction]:
        samples = [sum(of_bucket, Fraction(0)) for of_bucket in zip(*shares, strict=True)]
        return [count / batch for count, batch in zip(samples, self._batches, strict=True)]

    def _mixture(self, bucket: int, shares: dict[int, Shares], seed: int) -> Mixture:
        held = {step: [float(of_dataset[bucket]) for of_dataset in each] for step, each in shares.items()}
        batch = self._batches[bucket]
        phases = {
            self._schedule.shown(step)[bucket] * batch: each for step, each in held.items() if any(each)
        }
        # A bucket that never has a turn is never asked whose it is.
        return Mixture(phases or {0: [1.0] * len(self._clips)}, seed)
