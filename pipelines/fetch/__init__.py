"""Sources of videos, near and far → local files, fetched ahead of their turn."""

from pipelines.fetch.fetcher import Fetched, Fetcher, FetchPolicy

__all__ = ["FetchPolicy", "Fetched", "Fetcher"]
