"""Tables of videos and captions → rows of text; videos are not opened here."""

from pipelines.sources.csv_settings import CsvSettings
from pipelines.sources.find import find_archives, find_source
from pipelines.sources.formats import FileFormat
from pipelines.sources.layouts import LAYOUTS, named_layout
from pipelines.sources.listings import FolderSettings
from pipelines.sources.member_address import MemberAddress
from pipelines.sources.row import TABLE_REASONS, ColumnNames, SourceRow, is_template
from pipelines.sources.row_filter import parse_row_filter
from pipelines.sources.table import SourceTable
from pipelines.sources.video_archives import VideoArchives, are_archives

__all__ = [
    "LAYOUTS",
    "TABLE_REASONS",
    "ColumnNames",
    "CsvSettings",
    "FileFormat",
    "FolderSettings",
    "MemberAddress",
    "SourceRow",
    "SourceTable",
    "VideoArchives",
    "are_archives",
    "find_archives",
    "find_source",
    "is_template",
    "named_layout",
    "parse_row_filter",
]
