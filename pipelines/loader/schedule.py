"""Which bucket each step takes its batch from.

Of any stretch of steps every bucket has its share, as nearly as whole steps allow and evenly spread: also a
bucket with one step in a million has its turn, and no order of steps is kept anywhere. It is worked out for
each step anew by dividing the steps so far among the first bucket and the others, these among the second and
the others, and so on.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

_WHOLE = 2**48  # all shares together: whole numbers, which no machine rounds in a way of its own


class BucketTurn(NamedTuple):
    """Step number ``number`` (0, 1, 2, …) of those of ``bucket``."""

    bucket: int
    number: int


class Schedule:
    """The buckets of all steps; safe to share between threads."""

    def __init__(self, shares: Mapping[int, Sequence[Fraction]]) -> None:
        """``shares`` of the buckets, by the step that they hold from; the first is 0.

        They are relative, none is negative and one is positive.
        """
        self._phases: list[tuple[int, list[int], list[int]]] = []
        for start, held in sorted(shares.items()):
            begun = self.shown(start) if self._phases else [0] * len(held)
            self._phases.append((start, begun, [_counted(share / sum(held)) for share in held]))

    def turn(self, step: int) -> BucketTurn:
        """Whose turn ``step`` (0, 1, 2, …) is."""
        before, after = self.shown(step), self._shown(step, step + 1)
        return next(
            BucketTurn(bucket, number)
            for bucket, (number, then) in enumerate(zip(before, after, strict=True))
            if then > number
        )

    def shown(self, step: int) -> list[int]:
        """Steps of each bucket before ``step``."""
        return self._shown(step, step)

    def _shown(self, phase_of: int, step: int) -> list[int]:
        start, begun, shares = next(phase for phase in reversed(self._phases) if phase[0] <= phase_of)
        return [had + more for had, more in zip(begun, _divided(step - start, shares), strict=True)]


def _counted(share: Fraction) -> int:
    return max(1, round(share * _WHOLE)) if share else 0


def _divided(steps: int, shares: Sequence[int]) -> list[int]:
    """``steps`` among all; one step more is one more for one of them and no less for any other."""
    counts, rest = [], sum(shares)
    for share in shares:
        # To the nearest whole step, halves up.
        counts.append((2 * steps * share + rest) // (2 * rest) if rest else 0)
        steps, rest = steps - counts[-1], rest - share
    return counts
