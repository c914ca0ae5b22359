"""Holm's correction for several tests at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979, Scand. J. Stat. 6:65).

    Rejecting those of at most α keeps the probability of any false rejection at most α, however the tests
    depend on each other. The k-th smallest of m is multiplied by m - k + 1, and is at least the one before.
    """
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, p_values[number] * (len(p_values) - rank)))
        adjusted[number] = largest
    return adjusted
