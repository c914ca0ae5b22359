"""A table of videos and captions → rows, everything kept as text; no video is touched here."""

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec

from models.errors import AnimaticError
from pipelines.rejection import RejectedError

NEEDED = ("videoid", "name")
PLACES = ("page_dir", "contentUrl")
KEY_LIKE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class SourceRow:
    """One row of the table: its number from 0, its columns, and what is wrong with it, if anything."""

    row: int
    record: dict[str, str]
    problem: str | None = None

    @property
    def source_id(self) -> str:
        """The videoid column."""
        return self.record.get("videoid", "")

    @property
    def caption(self) -> str:
        """The name column, without surrounding blanks."""
        return self.record.get("name", "").strip()

    @property
    def key(self) -> str:
        """Stable, unique start of the keys of this row's samples: the id itself where a tar can carry it."""
        if KEY_LIKE.fullmatch(self.source_id):
            return self.source_id
        return "_" + hashlib.sha256(self.source_id.encode()).hexdigest()[:32]

    def candidates(self, videos: str | None) -> list[str]:
        """Where the video may lie, best first: ``videos``/page_dir/videoid.mp4, then contentUrl.

        A relative contentUrl is taken from ``videos``. Raises RejectedError (unsafe_path, missing_file).
        """
        places, page_dir, url = [], self.record.get("page_dir", ""), self.record.get("contentUrl", "").strip()
        if videos is not None:
            if "/" in self.source_id:
                raise RejectedError("unsafe_path", self.source_id[:200])
            places.append(_inside(videos, page_dir, f"{self.source_id}.mp4"))
        if SCHEME.match(url) or url.startswith("/"):
            places.append(url)
        elif url and videos is not None:
            places.append(_inside(videos, url))
        if not places:
            raise RejectedError("missing_file", "no contentUrl and no folder of videos")
        return places


def _inside(root: str, *parts: str) -> str:
    """``root`` joined with untrusted parts that must not lead out of it."""
    for part in parts:
        path = PurePosixPath(part)
        if path.is_absolute() or ".." in path.parts or "\0" in part or "\\" in part:
            raise RejectedError("unsafe_path", part[:200])
    return f"{root.rstrip('/')}/{PurePosixPath(*parts)}"


class SourceTable:
    """A CSV file as WebVid's: videoid, contentUrl, duration, page_dir, name; more columns are welcome.

    Reads local paths and fsspec URLs, plain or compressed. Raises AnimaticError if the table cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.digest = self._digest()
        columns = next(self._lines(), [])
        missing = [name for name in NEEDED if name not in columns]
        if not set(PLACES) & set(columns):
            missing.append(" or ".join(PLACES))
        if missing:
            raise AnimaticError(
                f"{url} has no column {', '.join(missing)}; its first line must name the columns, as in "
                f"videoid,contentUrl,duration,page_dir,name (found: {', '.join(columns)[:200] or 'nothing'})"
            )
        if len(set(columns)) != len(columns):
            raise AnimaticError(f"{url} names a column twice: {', '.join(columns)[:200]}")
        self.columns = columns

    def rows(self) -> Iterator[SourceRow]:
        """Every row in order; blank lines are not rows."""
        seen: set[bytes] = set()
        lines = self._lines()
        next(lines)
        for row, values in enumerate(lines):
            text = [value.encode("utf-8", "backslashreplace").decode() for value in values]
            record = dict(zip(self.columns, text, strict=False))
            problem = None
            videoid = record.get("videoid", "").encode()
            if len(values) != len(self.columns) or text != values:
                problem = "malformed_row"
            elif not videoid:
                problem = "no_id"
            elif videoid in seen:
                problem = "duplicate_id"
            elif not record["name"].strip():
                problem = "no_caption"
            if problem is None:
                seen.add(videoid)
            yield SourceRow(row, record, problem)

    def count(self) -> int:
        """Number of rows."""
        return sum(1 for _ in self._lines()) - 1

    def _lines(self) -> Iterator[list[str]]:
        csv.field_size_limit(1 << 20)
        # Bytes that are not UTF-8 spoil their own row only: they come through as surrogates, found by rows().
        with fsspec.open(
            self.url, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="", compression="infer"
        ) as file:
            reader = csv.reader(file)
            try:
                yield from (line for line in reader if line)
            except csv.Error as error:
                raise AnimaticError(f"{self.url}, line {reader.line_num}: {error}") from error

    def _digest(self) -> str:
        digest = hashlib.sha256()
        try:
            with fsspec.open(self.url, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (OSError, ValueError, ImportError) as error:
            raise AnimaticError(f"the source table {self.url} cannot be read: {error}") from error
        return digest.hexdigest()
