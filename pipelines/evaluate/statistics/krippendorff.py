"""Agreement of raters."""

from collections.abc import Sequence

import numpy as np


def krippendorff_alpha(ratings: Sequence[Sequence[int]], categories: int) -> float | None:
    """Krippendorff's α with the ordinal metric (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability").

    ``ratings``: of each unit, the categories, 0 to ``categories`` - 1 in their order, that raters gave it;
    units with a single rating do not count, and not every rater needs to rate every unit. 1 is perfect
    agreement, 0 that of chance, below it systematic disagreement. None where no unit has two ratings, or
    where all ratings are equal, so that chance would agree as well.
    """
    coincidences = np.zeros((categories, categories))
    for unit in ratings:
        if len(unit) < 2:
            continue
        counts = np.bincount(unit, minlength=categories).astype(np.float64)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = coincidences.sum(axis=0)
    cumulative = np.cumsum(totals) - totals / 2
    distances = np.subtract.outer(cumulative, cumulative) ** 2
    expected = float((np.outer(totals, totals) * distances).sum())
    if expected == 0:
        return None
    observed = float((coincidences * distances).sum())
    return 1 - (totals.sum() - 1) * observed / expected
