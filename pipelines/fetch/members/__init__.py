"""Videos inside archives and tables: ranges of stored bytes, compressed members, cells of Parquet columns."""

from pipelines.fetch.members.reader import MemberReader

__all__ = ["MemberReader"]
