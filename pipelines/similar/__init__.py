"""The job: near-duplicates of a whole dataset, found by embeddings of its clips, on Ray actors."""

from pipelines.similar.config import SimilarConfig
from pipelines.similar.job import SimilarReport, find_similar

__all__ = ["SimilarConfig", "SimilarReport", "find_similar"]
