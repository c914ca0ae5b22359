"""Local and remote source videos → local files, fetched ahead of their turn."""

from pipelines.fetch.fetcher import Fetched, Fetcher, FetchPolicy
from pipelines.fetch.prefetch import fetched_ahead

__all__ = ["FetchPolicy", "Fetched", "Fetcher", "fetched_ahead"]
