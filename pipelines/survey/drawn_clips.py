"""The values of some clips of a dataset, from which a page estimates what several limits keep together."""

from dataclasses import dataclass

import numpy as np

from pipelines.dataset import Dataset
from pipelines.loader import numbers

DRAWN = 3000
_SEED = 0


@dataclass(frozen=True)
class DrawnClips:
    """Clips drawn at random, or all.

    Attributes:
        of: the number of clips that they are drawn from.
        seconds: the length of each.
        values: by column the value of each, None where a clip has none.
    """

    of: int
    seconds: list[float]
    values: dict[str, list[float | None]]


def draw_clips(dataset: Dataset, columns: list[str], count: int = DRAWN) -> DrawnClips:
    """The values of up to ``count`` clips in some columns of numbers. Raises AnimaticError."""
    total = len(dataset)
    rows = np.sort(np.random.default_rng(_SEED).choice(total, min(count, total), replace=False))
    values = {}
    for name in columns:
        chosen = numbers(dataset, name).take(rows)
        # The shortest text that reads as the same 32-bit number.
        values[name] = [None if v is None else float(str(v)) for v in _scalars(chosen.to_numpy())]
    return DrawnClips(total, dataset.samples["duration"].take(rows).to_pylist(), values)


def _scalars(values: np.ndarray) -> list[np.generic | None]:
    """Each value as NumPy has it, None for NaN, which a null becomes."""
    return [None if np.isnan(value) else value for value in values]
