"""One row of a source table: its id, its caption, and the possible locations of its video."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from core.config.section import Section
from core.errors import RejectedError
from core.urls import is_url, is_web, join_inside, lacks_credentials, without_credentials
from pipelines.sources.lists import Span, captions_by_span, captions_in, single_span, spans_in

# Reasons to reject a row for what the table says: another attempt at its video cannot succeed.
TABLE_REASONS = frozenset(
    {"malformed_row", "filtered", "no_id", "duplicate_id", "further_caption", "no_caption"}
)

# www.example.org/a.mp4, localhost:8000/a.mp4: an address of the web without its scheme.
_HOST = re.compile(r"www\.[^/\s]+/|[A-Za-z0-9.-]+:\d+/", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TEMPLATE = re.compile(r"\{([^{}]+)\}")


class ColumnNames(Section):
    """The table's names for WebVid's columns; ``annotation.caption`` is a value within a nested column."""

    videoid: str = Field("videoid", description="column of the unique id of a row")
    name: str = Field("name", description="column of the caption")
    page_dir: str = Field("page_dir", description="column of the folder below videos")
    contentUrl: str = Field(
        "contentUrl",
        description="column of the video's URL, or a URL with names of columns in braces, as in "
        "https://www.youtube.com/watch?v={YoutubeID}",
    )
    timestamp: str = Field(
        "timestamp",
        description="column of lists of times, a pair or pairs of start and end: a clip is cut from each; "
        "other text in it has no meaning",
    )
    start: str | None = Field(
        None, description="column of the start of the part of the video that a row means, as in InternVid"
    )
    end: str | None = Field(None, description="column of the end of that part")
    video_bytes: str | None = Field(
        None,
        description="column of a Parquet file whose bytes are the videos, as video.bytes; contentUrl is "
        "their address then",
    )
    join: str | None = Field(
        None,
        description="of a JSON file with captions in one array and videos in another, as MSR-VTT's: the name "
        "of the array of videos, whose values are added to the captions with the same id",
    )

    def mapped(self) -> list[str]:
        """Every name of a column, those within a template of a URL included."""
        url = self.contentUrl
        names = [self.videoid, self.name, self.page_dir, self.timestamp, self.start, self.end]
        return [name for name in (*names, *([url] if not is_template(url) else names_in(url))) if name]

    def url(self, record: Mapping[str, str]) -> str:
        """The contentUrl of a row, without surrounding blanks: a cell, or the template with cells in it."""
        if self.contentUrl in record or not is_template(self.contentUrl):
            return record.get(self.contentUrl, "").strip()
        cells = {name: record.get(name, "").strip() for name in names_in(self.contentUrl)}
        return _TEMPLATE.sub(lambda match: cells[match[1]], self.contentUrl) if all(cells.values()) else ""

    def times(self, record: Mapping[str, str]) -> str:
        """The times of a row as a list: of its start and end, if it has them, or of its timestamp."""
        if self.start is not None and self.end is not None:
            pair = [record.get(self.start, ""), record.get(self.end, "")]
            if any(pair):
                return json.dumps(pair)
        return record.get(self.timestamp, "")


WEBVID = ColumnNames()


def is_template(name: str) -> bool:
    """Whether a name of a column may be a text with names of columns in braces."""
    return _TEMPLATE.search(name) is not None


def names_in(template: str) -> list[str]:
    """The names of columns in a template."""
    return _TEMPLATE.findall(template)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the table.

    Attributes:
        row: its number, from 0.
        record: its cells by column.
        problem: one of TABLE_REASONS, or None for a good row.
        columns: the table's names for WebVid's columns.
        detail: more about the problem.
        more_captions: captions that later rows of the same video have.
        location: where the video was found inside an archive, if it was: a MemberAddress as text.
    """

    row: int
    record: dict[str, str]
    problem: str | None = None
    columns: ColumnNames = WEBVID
    detail: str = ""
    more_captions: tuple[str, ...] = ()
    location: str | None = None

    @property
    def source_id(self) -> str:
        """The videoid column."""
        return self.record.get(self.columns.videoid, "")

    @property
    def caption(self) -> str:
        """The first caption, or nothing."""
        return next(iter(self.captions), "")

    @property
    def captions(self) -> list[str]:
        """Every caption: those of the name column, without surrounding blanks, then those of later rows."""
        own = captions_in(self.record.get(self.columns.name, ""))
        return list(dict.fromkeys([*own, *self.more_captions])) if self.more_captions else own

    @property
    def spans(self) -> list[Span]:
        """The parts of the video that are meant; the whole if there are none. Raises ValueError."""
        return spans_in(self.columns.times(self.record))

    @property
    def identity(self) -> str:
        """What no other good row has: the id, with the part of the video if the row means a single one."""
        span = single_span(self.columns.times(self.record))
        return self.source_id if span is None else f"{self.source_id}\0{span.start}\0{span.end}"

    def captions_of_span(self, number: int) -> list[str]:
        """The captions of one of ``spans``. Raises ValueError if the lists have different lengths."""
        times = self.columns.times(self.record)
        own = captions_by_span(self.record.get(self.columns.name, ""), times)[number]
        return list(dict.fromkeys([*own, *self.more_captions]))

    @property
    def key(self) -> str:
        """Stable, unique prefix of the keys of this row's samples: the id, or a hash if that suits no tar or
        other rows may have it."""
        return self.identity if _KEY.fullmatch(self.identity) else _hashed(self.identity)

    def key_of_caption(self, number: int) -> str:
        """Such a prefix for the samples with a further caption, ``number`` from 1; with 0 it is ``key``."""
        return _hashed(f"{self.identity}\0{number}") if number else self.key

    @property
    def content_url(self) -> str:
        """The contentUrl column, without surrounding blanks."""
        return self.columns.url(self.record)

    def candidates(self, videos: str | None) -> list[str]:
        """Possible locations of the video, in order.

        The file that contentUrl names comes first, a relative path being relative to ``videos``, then
        ``videos``/page_dir/videoid.mp4 if the row has a page_dir. Without a contentUrl it is
        ``videos``/page_dir/videoid.mp4 alone. In a table that has a page_dir column, as WebVid's, that file
        is the copy of what a web address names, and comes before the download.
        Raises RejectedError (unsafe_path, missing_file, unknown_protocol, fetch_refused).
        """
        if self.location is not None:
            return [self.location]
        url, copy = self.content_url, self._copy(videos)
        if is_web(url) and lacks_credentials(url):
            if copy is None:
                raise RejectedError(
                    "fetch_refused", "its URL had a token or signature, which is not recorded"
                )
            return [copy]
        if is_web(url):
            return [url] if copy is None else [copy, url]
        if is_url(url) or url.startswith("/"):
            named = [url]
        elif url and videos is not None:
            named = [_inside(videos, url)]
        else:
            named = []
        locations = named if copy is None else [*named, copy]
        if not locations:
            raise self.missing(videos)
        return locations

    def missing(self, videos: str | None) -> RejectedError:
        """The rejection of this row if none of its locations has a file: missing_file, or unknown_protocol
        for an address of the web without its scheme."""
        url = self.content_url
        if _HOST.match(url):
            return RejectedError("unknown_protocol", f"no scheme: https://{without_credentials(url)[:200]}?")
        if videos is not None or is_url(url) or url.startswith("/"):
            return RejectedError("missing_file")
        if url:
            return RejectedError(
                "missing_file",
                f"{without_credentials(url)[:200]} is relative, and no folder of videos is given",
            )
        return RejectedError("missing_file", "no contentUrl and no folder of videos")

    def _copy(self, videos: str | None) -> str | None:
        """``videos``/page_dir/videoid.mp4 if this row means it. Raises RejectedError (unsafe_path)."""
        url, page_dir = self.content_url, self.record.get(self.columns.page_dir, "")
        means_copy = self.columns.page_dir in self.record if is_web(url) else bool(page_dir) or not url
        if videos is None or not means_copy:
            return None
        if "/" not in self.source_id:
            return _inside(videos, page_dir, f"{self.source_id}.mp4")
        if url:
            return None
        raise RejectedError(
            "unsafe_path",
            f"the id {self.source_id[:200]} is a path: columns.contentUrl={self.columns.videoid}?",
        )


def _hashed(text: str) -> str:
    return "_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def _inside(root: str, *parts: str) -> str:
    try:
        return join_inside(root, *parts)
    except ValueError as error:
        raise RejectedError("unsafe_path", str(error)[:200]) from error
