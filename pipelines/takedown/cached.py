"""Copies of shards and tables in this machine's cache."""

from collections.abc import Iterable

from pipelines.dataset.cache_config import CacheConfig


def drop_shards(digests: Iterable[str]) -> None:
    """Delete the copies of tars with these sha256, if there are any."""
    for digest in digests:
        (CacheConfig().path / "shards" / digest).unlink(missing_ok=True)


def drop_tables(digests: Iterable[str]) -> None:
    """Delete the fetched and converted copies of tables with these sha256, if there are any."""
    for digest in digests:
        for suffix in (".parquet", ".arrow"):
            (CacheConfig().path / "tables" / f"{digest}{suffix}").unlink(missing_ok=True)
