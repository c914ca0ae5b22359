"""The dataset on disk: WebDataset tars, a manifest per work unit, and the tables built from them.

What was made is found by ``dataset.json``, which goes in place last of all. ``units`` and ``commit`` write,
``Dataset`` reads, ``verify`` reads everything again.
"""

from pipelines.dataset.dataset import Dataset

__all__ = ["Dataset"]
