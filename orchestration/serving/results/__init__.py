"""The results store: pictures and clips of jobs at any fsspec URL."""

from orchestration.serving.results.store import Results, StoredFile

__all__ = ["Results", "StoredFile"]
