"""Datasets → training batches: one global order, whatever the number of processes."""

from pipelines.loader.batches import ClipLoader
from pipelines.loader.buckets import Bucket
from pipelines.loader.mixture import Weight
from pipelines.loader.sampling import ClipSampling
from pipelines.loader.store import Part

__all__ = ["Bucket", "ClipLoader", "ClipSampling", "Part", "Weight"]
