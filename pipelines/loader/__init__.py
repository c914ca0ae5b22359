"""Datasets → training batches: one global order, whatever the number of processes."""

from pipelines.loader.batches import ClipLoader, Part
from pipelines.loader.mixture import Weight
from pipelines.loader.sampling import ClipSampling

__all__ = ["ClipLoader", "ClipSampling", "Part", "Weight"]
