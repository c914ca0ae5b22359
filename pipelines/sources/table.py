"""The whole source: its rows in order, each with what is wrong with it, in memory that hardly grows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.sources.files import find_files
from pipelines.sources.readers import read_column, read_columns, read_records
from pipelines.sources.row import WEBVID, ColumnNames, SourceRow
from pipelines.sources.row_filter import parse_where

Hashes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Survey:
    """What one reading of everything tells: the number of rows, the digest of the bytes, and the hashes of
    the ids that may occur twice. The last are of this process: Python salts them."""

    rows: int
    digest: str
    repeated: Hashes


class SourceTable:
    """Tables as WebVid's: videoid, contentUrl, duration, page_dir, name; more columns are welcome.

    ``url`` is a CSV, JSONL or Parquet file, a glob, or a folder of such, on a disk or behind an fsspec URL,
    plain or compressed. ``columns`` says what the table calls the columns, ``where`` which rows to take.
    Rows are streamed: memory grows by 8 bytes a row and by the ids that occur more than once.
    Raises AnimaticError if the source cannot be used.
    """

    def __init__(self, url: str, columns: ColumnNames = WEBVID, where: str | None = None) -> None:
        self.url = url
        self.names = columns
        self.files = find_files(url)
        self.columns = read_columns(self.files[0])
        self._check(self.columns, self.files[0].path)
        # JSON objects may lack what others have; the other formats name their columns once and for all.
        known = None if self.files[0].kind == "jsonl" else self.columns
        self._where = parse_where(where, known) if where else None
        self._survey: Survey | None = None

    @property
    def fingerprint(self) -> list[list[Any]] | None:
        """Name, size and time stamp (or ETag) of every file; None if the place tells no such thing.

        While it is the same, the files are taken to be the same, and only otherwise is all of it read again.
        """
        if any(file.stamp is None or file.size is None for file in self.files):
            return None
        return [[file.name, file.size, file.stamp] for file in self.files]

    @property
    def digest(self) -> str:
        """sha256 of the file, or of the names and digests of several."""
        return self.survey().digest

    def count(self) -> int:
        """Number of rows, before any filter."""
        return self.survey().rows

    def survey(self) -> Survey:
        """Read everything once; kept."""
        if self._survey is None:
            rows, hashes = 0, [np.empty(0, np.int64)]
            digests = []
            for file in self.files:
                digest = hashlib.sha256()
                self._check(read_columns(file), file.path)
                for ids in read_column(file, self.names.videoid, digest):
                    rows += len(ids)
                    hashes.append(_hashes(ids))
                digests.append([file.name, file.sha256() if file.kind == "parquet" else digest.hexdigest()])
            together = digests[0][1] if len(digests) == 1 else digest_of(digests)
            self._survey = Survey(rows, together, _repeated(hashes))
        return self._survey

    def rows(self) -> Iterator[SourceRow]:
        """Every row in order; blank lines are not rows."""
        repeated = self.survey().repeated
        seen: set[str] = set()
        number = 0
        for file in self.files:
            for batch in read_records(file):
                ids = [record.get(self.names.videoid, "") for record, _ in batch]
                suspects = _among(_hashes(ids), repeated)
                for (record, sound), suspect in zip(batch, suspects, strict=True):
                    problem = self._problem(record, sound, seen if suspect else None)
                    yield SourceRow(number, record, problem, self.names)
                    number += 1

    def _problem(self, record: dict[str, str], sound: bool, seen: set[str] | None) -> str | None:
        """What is wrong with a row; ``seen`` holds the earlier good ids if this one may be among them."""
        videoid = record.get(self.names.videoid, "")
        if not sound:
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

    def _check(self, columns: list[str], path: str) -> None:
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
    """Sorted values that occur more than once; consumes the list."""
    values = np.concatenate(hashes)
    hashes.clear()
    values.sort()
    return np.unique(values[1:][values[1:] == values[:-1]])


def _among(hashes: Hashes, values: Hashes) -> list[bool]:
    """Which hashes are among the sorted ``values``."""
    if not len(values):
        return [False] * len(hashes)
    places = np.minimum(np.searchsorted(values, hashes), len(values) - 1)
    found: list[bool] = (values[places] == hashes).tolist()
    return found
