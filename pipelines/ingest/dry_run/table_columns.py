"""The columns of a table: what each is read as, and which look as if they were meant for something."""

import re

from pipelines.ingest.dry_run.records import PreviewColumn
from pipelines.sources import ColumnNames, is_template

_WORDS = {
    "columns.name": re.compile(r"caption|descri|text|title|prompt|sentence|summary", re.IGNORECASE),
    "columns.contentUrl": re.compile(
        r"(^|[_\W])(url|uri|link|href)s?$|(url|uri)$|video_?path|file_?(name|path)", re.IGNORECASE
    ),
    "columns.timestamp": re.compile(
        r"time_?stamps?|start|(^|_)end($|_)|segment|span|interval", re.IGNORECASE
    ),
}


def preview_columns(columns: list[str], names: ColumnNames) -> list[PreviewColumn]:
    """Every column with its meaning."""
    meanings = meanings_of(names)
    found = [PreviewColumn(column, meanings.get(column)) for column in columns]
    # Names with dots are values within a column.
    inner = [name for name in meanings if name not in columns and name.partition(".")[0] in columns]
    return [*found, *(PreviewColumn(name, meanings[name]) for name in inner)]


def meanings_of(names: ColumnNames) -> dict[str, str]:
    """Meanings by name of a column."""
    own = {
        names.contentUrl: "video",
        names.page_dir: "folder of the video",
        names.timestamp: "times",
        names.videoid: "id",
        names.name: "caption",
    }
    more = ((names.start, "start"), (names.end, "end"), (names.video_bytes, "bytes of the video"))
    times = {name: word for name, word in more if name}
    within = {name: "video" for name in names.mapped() if name not in own and name not in times}
    return {**within, **own, **times}


def overlooked(columns: list[PreviewColumn], names: ColumnNames) -> list[tuple[str, str]]:
    """Columns that are not used though their names are those of captions, videos or times, with the setting
    that would use each."""
    used = {column.meaning for column in columns}
    has_video = "video" in used or is_template(names.contentUrl)
    taken = {"columns.contentUrl": has_video, "columns.timestamp": bool({"times", "start"} & used)}
    roots = {name.partition(".")[0] for name in names.mapped()}
    return [
        (column.name, setting)
        for column in columns
        if column.meaning is None and column.name not in roots
        for setting, words in _WORDS.items()
        if words.search(column.name) and not taken.get(setting, False)
    ]
