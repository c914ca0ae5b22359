"""Datasets → training batches in one global order, whatever the number of processes.

The configuration classes are imported at once; what needs torch or pyarrow, when its name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.dataset.cache_config import CacheConfig
from pipelines.loader.buckets import Bucket
from pipelines.loader.captions import FROM_TABLE, Captions
from pipelines.loader.keyed_random import derive_key
from pipelines.loader.mixture import Weight
from pipelines.loader.sampling import ClipSampling, SampleParams, draw_params
from pipelines.loader.selection import EVERYTHING, Selection
from pipelines.loader.shuffle import SHUFFLE_SHARDS, Permutation
from pipelines.loader.training_data import digests_before_takedowns, training_digest

if TYPE_CHECKING:
    from pipelines.loader.chosen_clips import number_columns, numbers, passing_clips
    from pipelines.loader.clip_loader import ClipLoader
    from pipelines.loader.weighted_dataset import WeightedDataset

__all__ = [
    "EVERYTHING",
    "FROM_TABLE",
    "SHUFFLE_SHARDS",
    "Bucket",
    "CacheConfig",
    "Captions",
    "ClipLoader",
    "ClipSampling",
    "Permutation",
    "SampleParams",
    "Selection",
    "Weight",
    "WeightedDataset",
    "derive_key",
    "digests_before_takedowns",
    "draw_params",
    "number_columns",
    "numbers",
    "passing_clips",
    "training_digest",
]

_IMPORTED_ON_USE = {
    "ClipLoader": "pipelines.loader.clip_loader",
    "WeightedDataset": "pipelines.loader.weighted_dataset",
    **dict.fromkeys(("number_columns", "numbers", "passing_clips"), "pipelines.loader.chosen_clips"),
}


def __getattr__(name: str) -> Any:
    """Import what needs torch or pyarrow (PEP 562)."""
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_IMPORTED_ON_USE[name]), name)
