"""Tables of videos and captions → rows, everything kept as text; no video is touched here."""

from pipelines.sources.row import TABLE_REASONS, ColumnNames, SourceRow
from pipelines.sources.table import SourceTable

__all__ = ["TABLE_REASONS", "ColumnNames", "SourceRow", "SourceTable"]
