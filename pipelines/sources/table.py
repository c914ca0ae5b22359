"""The whole source: its rows in order, each with its problem if it has one, in memory that hardly grows."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import JsonValue

from core.canonical_json import canonical_json, digest_of
from core.errors import AnimaticError
from core.urls import scheme_of, without_credentials
from pipelines.sources.csv_settings import CsvSettings
from pipelines.sources.files import SourceFile
from pipelines.sources.find import find_source
from pipelines.sources.formats import FileFormat, format_of
from pipelines.sources.id_hashes import Hashes, are_among, hashes_of, repeated_in
from pipelines.sources.layouts import LAYOUTS, fitting_layout
from pipelines.sources.listings import FolderSettings, Listing, ListingReader
from pipelines.sources.lists import captions_by_span, is_caption
from pipelines.sources.readers import Line, Reader, open_reader, read_cells, read_columns, read_lines
from pipelines.sources.readers.lines import escaped, is_storable
from pipelines.sources.repeated_ids import RepeatedIds
from pipelines.sources.row import WEBVID, ColumnNames, SourceRow, is_template, names_in
from pipelines.sources.row_filter import parse_row_filter


@dataclass(frozen=True)
class TableScan:
    """What one pass over all files finds.

    Attributes:
        rows: number of rows, before any filter.
        digest: sha256 of the file, or of the names and digests of several.
        repeated: hashes of the ids that may occur more than once, ascending. They are valid in this process
            alone: Python salts them.
        schemes: those of the URLs of videos, in lower case.
    """

    rows: int
    digest: str
    repeated: Hashes
    schemes: frozenset[str]


class SourceTable:
    """A table with WebVid's columns: videoid, contentUrl, duration, page_dir, name; more are allowed.

    A folder or archive of videos is one, whose rows are made from the names in it.

    Rows are streamed: memory grows by 8 bytes per row and by the ids that occur more than once, with their
    captions.
    """

    def __init__(
        self,
        url: str,
        columns: ColumnNames = WEBVID,
        where: str | None = None,
        csv: CsvSettings | None = None,
        *,
        has_videos: bool = False,
        require_caption: bool = True,
        folder: FolderSettings | None = None,
    ) -> None:
        """Open a source.

        Args:
            url: a CSV, JSON, JSONL or Parquet file, a glob, or a folder of such files, local or an fsspec
                URL, plain or compressed; or a folder of videos, or archives of them.
            columns: the table's names for WebVid's columns.
            where: a filter of rows, see :func:`pipelines.sources.row_filter.parse_row_filter`.
            csv: how CSV files are written; None: found from their first lines.
            has_videos: whether a folder of videos is given, in which an id alone names a file.
            require_caption: whether a row without a caption is rejected, and the column of captions needed.
            folder: which captions videos without a table have.

        Raises AnimaticError if the source cannot be read, lacks a column, or the filter cannot be used.
        """
        self.url = url
        self.names = columns
        self._csv = csv or CsvSettings()
        self._has_videos, self._require_caption = has_videos, require_caption
        found = find_source(url, folder)
        self.files, self.videos, self._notices = found.files, found.videos, found.notices
        if columns.video_bytes is not None and found.videos is None:
            self.videos = found.root
        self._readers: dict[str, Reader] = {}
        first = self.files[0]
        self.columns = read_columns(first, self._reader(first))
        self._check_columns(self.columns, first.path)
        # JSON objects may have keys that the first one lacks; the other formats declare their columns.
        known = self.columns if first.kind in ("csv", "tsv", "parquet") else None
        self._no_caption = "no_caption" if require_caption else None
        self._where = parse_row_filter(where, known) if where else None
        self._scan: TableScan | None = None

    @property
    def notices(self) -> list[str]:
        """What was found out about the formats of the files read so far, a line for each."""
        read = [file for file in self.files if file.path in self._readers]
        stated = {file.name: self._readers[file.path].notice for file in read}
        return [f"{name} is read with {notice}" for name, notice in stated.items() if notice]

    @property
    def findings(self) -> list[str]:
        """What was found in folders and archives of videos, once they were read, and what was left out."""
        listings = [file for file in self.files if isinstance(file, Listing)]
        counts = sum((file.counts for file in listings), Counter[str]())
        found = ", ".join(f"{count} {what}" for what, count in counts.items())
        what = f"{len(listings)} archives have" if len(listings) > 1 else f"{self.files[0].path} has"
        return [*self._notices, *([f"{what} {found}"] if found else [])]

    @property
    def formats(self) -> list[FileFormat]:
        """How the files read so far are read."""
        read = [(file, self._readers[file.path]) for file in self.files if file.path in self._readers]
        return [
            format_of(file.name, file.kind, file.compression, reader, read_columns(file, reader))
            for file, reader in read
        ]

    @property
    def fingerprint(self) -> list[list[JsonValue]] | None:
        """Name, size and time stamp (or ETag) of every file; None if the file system has no time stamps.

        As long as it is unchanged, the files count as unchanged; otherwise all of them are read again.
        """
        if any(file.stamp is None or file.size is None for file in self.files):
            return None
        return [[file.name, file.size, file.stamp] for file in self.files]

    @property
    def digest(self) -> str:
        """See :class:`TableScan`."""
        return self.scan().digest

    def count(self) -> int:
        """Number of rows, before any filter."""
        return self.scan().rows

    def scan(self) -> TableScan:
        """Read everything, once in this object's life. Raises AnimaticError."""
        if self._scan is None:
            rows, hashes, schemes = 0, [np.empty(0, np.int64)], set[str]()
            digests = []
            for file in self.files:
                digest, reader = hashlib.sha256(), self._reader(file)
                self._check_columns(read_columns(file, reader), file.path)
                names = (self.names.videoid, self.names.contentUrl)
                for ids, urls in read_cells(file, reader, names, digest):
                    rows += len(ids)
                    hashes.append(hashes_of(ids))
                    schemes |= _schemes({url.partition("://")[0] for url in urls if "://" in url})
                digests.append([file.name, self._digest_of(file, reader, digest)])
            if is_template(self.names.contentUrl):
                schemes |= _schemes({self.names.contentUrl.partition("://")[0]})
            if not rows and isinstance(self.files[0], Listing):
                raise AnimaticError(
                    f"{without_credentials(self.url)} has no video: no name in it ends in .mp4, .webm, .avi "
                    "or as another kind of video"
                )
            whole = digests[0][1] if len(digests) == 1 else digest_of(digests)
            self._scan = TableScan(rows, whole, repeated_in(hashes), frozenset(schemes))
        return self._scan

    def _digest_of(self, file: SourceFile, reader: Reader, read: "hashlib._Hash") -> str:
        """The digest of a file; ``read``: of all its bytes, except those of a Parquet file."""
        if file.kind != "parquet":
            return read.hexdigest()
        if self.names.video_bytes is None:
            return file.sha256()
        content = hashlib.sha256()  # without the videos, which nothing here reads
        for batch in read_lines(file, reader):
            content.update(canonical_json([[line.record, line.fault] for line in batch]))
        return content.hexdigest()

    def rows(self) -> Iterator[SourceRow]:
        """Every row in order; blank lines are not rows. Raises AnimaticError."""
        more = self._more_captions() if len(self.scan().repeated) else {}
        for row in self._judged(self._repeated_ids()):
            captions = more.pop(row.identity, ()) if more and row.problem is None else ()
            yield replace(row, more_captions=captions) if captions else row

    def _more_captions(self) -> dict[str, tuple[str, ...]]:
        repeated = self._repeated_ids()
        for number, line, suspect in self._lines():
            if suspect:  # few of the rows: the others cost their reading alone
                self._row(number, line, repeated)
        return repeated.more_captions()

    def _judged(self, repeated: RepeatedIds) -> Iterator[SourceRow]:
        """Every row, with its problem."""
        for number, line, suspect in self._lines():
            yield self._row(number, line, repeated if suspect else None)

    def _lines(self) -> Iterator[tuple[int, Line, bool]]:
        """Number and line of every row, and whether other rows may have its id."""
        hashes, number = self.scan().repeated, 0
        for file in self.files:
            for batch in read_lines(file, self._reader(file)):
                ids = [line.record.get(self.names.videoid, "") for line in batch]
                for line, suspect in zip(batch, are_among(hashes_of(ids), hashes), strict=True):
                    yield number, line, suspect
                    number += 1

    def _row(self, number: int, line: Line, repeated: RepeatedIds | None) -> SourceRow:
        """A row with its problem, judged by those ``repeated`` before it if it may have the id of one."""
        problem, detail = self._problem(line)
        row = SourceRow(number, line.record, problem, self.names, detail)
        if repeated is not None and problem in (None, "no_caption"):
            row = replace(row, problem=repeated.problem(row))
        return row

    def _repeated_ids(self) -> RepeatedIds:
        return RepeatedIds(require_caption=self._require_caption)

    def _problem(self, line: Line) -> tuple[str | None, str]:
        """The reason to reject a row for what it contains, and its detail."""
        record = line.record
        if line.fault:
            return "malformed_row", line.fault
        if self._where is not None and not self._where(record):
            return "filtered", ""
        if not record.get(self.names.videoid):
            return "no_id", ""
        text = record.get(self.names.name, "").strip()
        times = self.names.times(record)
        if not text.startswith("[") and not times.lstrip().startswith("["):
            return (None if is_caption(text) else self._no_caption), ""
        try:
            captions = list(itertools.chain.from_iterable(captions_by_span(text, times)))
        except ValueError as error:
            return "malformed_row", str(error)
        if not all(map(is_storable, captions)):  # a list may have written them with escapes
            return "malformed_row", "a caption contains a character that cannot be stored"
        return (None if captions else self._no_caption), ""

    def _reader(self, file: SourceFile) -> Reader:
        if file.path not in self._readers:
            names = self.names
            needed = (names.videoid, names.name) if self._require_caption else (names.videoid,)
            if isinstance(file, Listing):
                self._readers[file.path] = ListingReader()
            else:
                self._readers[file.path] = open_reader(file, self._csv, names, needed)
        return self._readers[file.path]

    def _check_columns(self, columns: list[str], path: str) -> None:
        names = self.names
        needed = (names.videoid, names.name if self._require_caption else None, names.start, names.end)
        missing = [name for name in needed if name is not None and name not in columns]
        is_filled = is_template(names.contentUrl) and set(names_in(names.contentUrl)) <= set(columns)
        if not self._has_videos and not is_filled and not {names.page_dir, names.contentUrl} & set(columns):
            missing.append(f"{names.page_dir} or {names.contentUrl}")
        found = ", ".join(escaped(dict.fromkeys(columns, "")))[:200]
        if missing:
            lack = f"{path} has no column {', '.join(missing)}"
            raise AnimaticError(
                f"{lack}; {self._remedy(missing, columns, path)} (found: {found or 'nothing'})"
            )
        if len(set(columns)) != len(columns):
            raise AnimaticError(f"{path} names a column twice: {found}")

    def _remedy(self, missing: list[str], columns: list[str], path: str) -> str:
        if path.endswith(".parquet") and "video" in columns and self.names == WEBVID:
            return (
                "if its column video contains the videos, pass --layout huggingface, if names of files "
                "--layout openvid, and name the column of captions by --set columns.name=NAME"
            )
        layout = fitting_layout(set(columns))
        if layout is not None and layout.columns != self.names:
            name = "msrvtt-files" if layout.name == "msrvtt" and self._has_videos else layout.name
            return f"it looks like {name} ({LAYOUTS[name].title}): pass --layout {name}"
        if missing == [self.names.name]:
            return (
                "name the one of captions by --set columns.name=NAME, or take rows without captions by "
                "--set require_caption=false"
            )
        return (
            "its columns must be named as in videoid,contentUrl,duration,page_dir,name, or mapped as in "
            "--set columns.videoid=id"
        )


def _schemes(beginnings: set[str]) -> frozenset[str]:
    """Schemes of URLs from what precedes their ``://``; other text is none."""
    return frozenset(scheme_of(f"{text.lstrip()}://") for text in beginnings) - {""}
