"""Which bucket each step takes its batch from.

In any stretch of steps every bucket has its share, spread evenly, as nearly as whole steps allow: even a
bucket with one step in a million gets that step, and no list of steps is stored. Each step is computed on its
own: the steps before it are divided between the first bucket and the others, the others' steps between the
second and the rest, and so on.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

_WHOLE = 2**48  # the sum of all shares as integers, which every machine divides alike


class BucketStep(NamedTuple):
    """Step number ``number`` (0, 1, 2, …) among those of ``bucket``."""

    bucket: int
    number: int


class _Phase(NamedTuple):
    """The steps from ``start`` on, with ``before`` steps of each bucket ahead of them; integer ``shares``."""

    start: int
    before: list[int]
    shares: list[int]


class BucketSchedule:
    """The bucket of every step; safe to share between threads."""

    def __init__(self, shares: Mapping[int, Sequence[Fraction]]) -> None:
        """``shares`` of the buckets, by the step from which they hold, the first 0.

        They are relative; none is negative, and at least one is positive.
        """
        self._phases: list[_Phase] = []
        for start, fractions in sorted(shares.items()):
            before = self.counts(start) if self._phases else [0] * len(fractions)
            self._phases.append(_Phase(start, before, _integers(fractions)))

    def at(self, step: int) -> BucketStep:
        """The bucket of ``step`` (0, 1, 2, …)."""
        phase = self._phase(step)
        before, after = _counts(phase, step), _counts(phase, step + 1)
        return next(
            BucketStep(bucket, number)
            for bucket, (number, then) in enumerate(zip(before, after, strict=True))
            if then > number
        )

    def counts(self, step: int) -> list[int]:
        """Steps of each bucket before ``step``."""
        return _counts(self._phase(step), step)

    def _phase(self, step: int) -> _Phase:
        return next(phase for phase in reversed(self._phases) if phase.start <= step)


def _counts(phase: _Phase, step: int) -> list[int]:
    added = _divided(step - phase.start, phase.shares)
    return [before + more for before, more in zip(phase.before, added, strict=True)]


def _integers(shares: Sequence[Fraction]) -> list[int]:
    """Shares in units of 1/_WHOLE of their sum; a positive share is at least one unit."""
    total = sum(shares)
    return [max(1, round(share / total * _WHOLE)) if share else 0 for share in shares]


def _divided(steps: int, shares: Sequence[int]) -> list[int]:
    """``steps`` by bucket. One step more adds one to a single bucket and takes none from any other."""
    counts, rest = [], sum(shares)
    for share in shares:
        # To the nearest whole step, halves up.
        counts.append((2 * steps * share + rest) // (2 * rest) if rest else 0)
        steps, rest = steps - counts[-1], rest - share
    return counts
