"""Worker processes of Ray that are forked from one in which everything is imported already."""

from pipelines.cluster.forking.host import forked_workers, import_for_workers

__all__ = ["forked_workers", "import_for_workers"]
