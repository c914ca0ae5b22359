"""The dataset on disk: WebDataset tars, a manifest per unit of work, and the tables built from them.

A dataset exists once its ``dataset.json`` does, which is written last. The package is entered through

- :class:`Dataset`, which reads a finished dataset (imported, with pyarrow, on first use);
- ``records``: the types of what is on disk;
- ``clip_units`` and ``commit``, which write the units of a dataset and complete it; ``images``, which indexes
  tars of images; ``units``, ``shard_writer`` and ``tables`` for other jobs with a tar for each shard;
- ``latents`` and ``columns``: latents of a dataset, and columns beside it;
- ``shard_cache``: local, verified copies of shards;
- ``verify`` and ``verify_latents``: everything read and compared.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.dataset.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> Any:
    """Import :class:`Dataset` when it is first used (PEP 562)."""
    if name != "Dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("pipelines.dataset.dataset").Dataset
