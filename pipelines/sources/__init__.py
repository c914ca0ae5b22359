"""Tables of videos and captions → rows, everything kept as text; no video is touched here."""

from pipelines.sources.row import SCHEME, TABLE_REASONS, ColumnNames, SourceRow
from pipelines.sources.table import SourceTable

__all__ = ["SCHEME", "TABLE_REASONS", "ColumnNames", "SourceRow", "SourceTable"]
