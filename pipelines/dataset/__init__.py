"""The dataset on disk: WebDataset tars, a manifest per work unit, and the tables built from them.

What was made is found by ``dataset.json``, which goes in place last of all. ``units`` and ``commit`` write,
``Dataset`` reads, ``verify`` reads everything again. ``Dataset`` is imported, with pyarrow, on first use.
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
