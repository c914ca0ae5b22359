"""Columns beside a dataset, as arrays."""

import numpy as np

from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, read_column


def values_of(dataset: Dataset, name: str = CLIP_SIMILARITY) -> np.ndarray:
    """Of all samples, NaN where one has none."""
    return read_column(dataset, name).values.to_numpy()
