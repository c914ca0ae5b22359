"""The whole source: its rows in order, each with its problem if it has one, in memory that hardly grows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.sources.files import find_files
from pipelines.sources.readers import Line, read_column, read_columns, read_lines
from pipelines.sources.row import WEBVID, ColumnNames, SourceRow
from pipelines.sources.row_filter import parse_row_filter

Hashes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TableScan:
    """What one pass over all files finds.

    Attributes:
        rows: number of rows, before any filter.
        digest: sha256 of the file, or of the names and digests of several.
        repeated: hashes of the ids that may occur more than once, ascending. They are valid in this process
            alone: Python salts them.
    """

    rows: int
    digest: str
    repeated: Hashes


class SourceTable:
    """A table with WebVid's columns: videoid, contentUrl, duration, page_dir, name; more are allowed.

    Rows are streamed: memory grows by 8 bytes per row and by the ids that occur more than once.
    """

    def __init__(self, url: str, columns: ColumnNames = WEBVID, where: str | None = None) -> None:
        """Open a source.

        Args:
            url: a CSV, JSONL or Parquet file, a glob, or a folder of such files, local or an fsspec URL,
                plain or compressed.
            columns: the table's names for WebVid's columns.
            where: a filter of rows, see :func:`pipelines.sources.row_filter.parse_row_filter`.

        Raises AnimaticError if the source cannot be read, lacks a column, or the filter cannot be used.
        """
        self.url = url
        self.names = columns
        self.files = find_files(url)
        self.columns = read_columns(self.files[0])
        self._check_columns(self.columns, self.files[0].path)
        # JSON objects may have keys that the first one lacks; the other formats declare their columns.
        known = None if self.files[0].kind == "jsonl" else self.columns
        self._where = parse_row_filter(where, known) if where else None
        self._scan: TableScan | None = None

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
            rows, hashes = 0, [np.empty(0, np.int64)]
            digests = []
            for file in self.files:
                digest = hashlib.sha256()
                self._check_columns(read_columns(file), file.path)
                for ids in read_column(file, self.names.videoid, digest):
                    rows += len(ids)
                    hashes.append(_hashes(ids))
                digests.append([file.name, file.sha256() if file.kind == "parquet" else digest.hexdigest()])
            whole = digests[0][1] if len(digests) == 1 else digest_of(digests)
            self._scan = TableScan(rows, whole, _repeated(hashes))
        return self._scan

    def rows(self) -> Iterator[SourceRow]:
        """Every row in order; blank lines are not rows. Raises AnimaticError."""
        repeated = self.scan().repeated
        seen: set[str] = set()
        number = 0
        for file in self.files:
            for batch in read_lines(file):
                ids = [line.record.get(self.names.videoid, "") for line in batch]
                suspects = _among(_hashes(ids), repeated)
                for line, suspect in zip(batch, suspects, strict=True):
                    problem = self._problem(line, seen if suspect else None)
                    yield SourceRow(number, line.record, problem, self.names)
                    number += 1

    def _problem(self, line: Line, seen: set[str] | None) -> str | None:
        """The reason to reject a row; ``seen``: ids of earlier good rows if this id may be repeated."""
        record = line.record
        videoid = record.get(self.names.videoid, "")
        if not line.valid:
            return "malformed_row"
        if self._where is not None and not self._where(record):
            return "filtered"
        if not videoid:
            return "no_id"
        if seen is not None and videoid in seen:
            return "duplicate_id"
        if not record.get(self.names.name, "").strip():
            return "no_caption"
        if seen is not None:
            seen.add(videoid)
        return None

    def _check_columns(self, columns: list[str], path: str) -> None:
        names = self.names
        missing = [name for name in (names.videoid, names.name) if name not in columns]
        if not {names.page_dir, names.contentUrl} & set(columns):
            missing.append(f"{names.page_dir} or {names.contentUrl}")
        if missing:
            raise AnimaticError(
                f"{path} has no column {', '.join(missing)}; its columns must be named as in "
                "videoid,contentUrl,duration,page_dir,name, or mapped as in --set columns.videoid=id "
                f"(found: {', '.join(columns)[:200] or 'nothing'})"
            )
        if len(set(columns)) != len(columns):
            raise AnimaticError(f"{path} names a column twice: {', '.join(columns)[:200]}")


def _hashes(ids: list[str]) -> Hashes:
    return np.fromiter(map(hash, ids), np.int64, len(ids))


def _repeated(hashes: list[Hashes]) -> Hashes:
    """Values that occur more than once, ascending; empties the list to free its memory."""
    values = np.concatenate(hashes)
    hashes.clear()
    values.sort()
    return np.unique(values[1:][values[1:] == values[:-1]])


def _among(hashes: Hashes, values: Hashes) -> list[bool]:
    """For each hash whether it is among the ascending ``values``."""
    if not len(values):
        return [False] * len(hashes)
    indices = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
    found: list[bool] = (values[indices] == hashes).tolist()
    return found
