"""Tables of delimited values, as Python's csv module reads them."""

import contextlib
import csv
import io
import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

from core.errors import AnimaticError
from pipelines.sources.readers.dialect import Dialect
from pipelines.sources.readers.lines import (
    BATCH,
    MAX_FIELD_CHARS,
    Line,
    escaped,
    fault_of,
    is_storable,
    shortened,
)

_MAX_PARSED_CHARS = 1 << 26  # of a field, before the whole table counts as damaged
_END = "\0end"  # appended to the file; never a row of its own, because rows with NUL are invalid


class CsvReader:
    """Reads delimited values; ``path`` is for messages."""

    def __init__(self, path: str, dialect: Dialect) -> None:
        self._path, self.dialect = path, dialect
        self.notice = dialect.notice

    def columns(self, data: BinaryIO) -> list[str]:
        """Cells of the first line, without surrounding blanks."""
        with contextlib.closing(self._cells(data)) as cells:
            return _names(next(cells, []))

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line after the first. Raises AnimaticError for a quote that is never closed."""
        cells = self._cells(data)
        columns = _names(next(cells, []))
        while batch := list(itertools.islice(cells, BATCH)):
            text = "".join(itertools.chain.from_iterable(batch))
            is_short = len(text) <= MAX_FIELD_CHARS or _longest(batch) <= MAX_FIELD_CHARS
            if is_short and is_storable(text):
                yield [_line(columns, row) for row in batch]
            else:
                yield [_checked_line(columns, row) for row in batch]

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Cells of some columns. Raises as ``lines`` does."""
        cells = self._cells(data)
        columns = _names(next(cells, []))
        indices = [columns.index(name) if name in columns else len(columns) for name in names]
        while batch := list(itertools.islice(cells, BATCH)):
            yield [[row[index] if index < len(row) else "" for row in batch] for index in indices]

    def _cells(self, data: BinaryIO) -> Generator[list[str]]:
        csv.field_size_limit(_MAX_PARSED_CHARS)
        dialect = self.dialect
        # Bytes of another encoding invalidate their own line only: they pass as surrogates.
        text = io.TextIOWrapper(data, encoding=dialect.encoding, errors="surrogateescape", newline="")
        reader = csv.reader(
            itertools.chain(text, [_END]),
            delimiter=dialect.delimiter,
            escapechar=dialect.escape,
            skipinitialspace=dialect.skips_blanks,
        )
        first_line = 1
        try:
            for row in reader:
                if row == [_END]:
                    return
                if row and row[-1].endswith(_END):
                    raise AnimaticError(
                        f"{self._path}: a quote that is opened in the row of line {first_line} is never "
                        "closed, so all that follows would be one row: fix that line"
                    )
                first_line = reader.line_num + 1
                if row:
                    yield row
        except csv.Error as error:
            raise AnimaticError(
                f"{self._path}, line {reader.line_num}: {error} (the row begins in line {first_line}; is a "
                "quote there never closed?)"
            ) from error
        finally:
            text.detach()


def _longest(rows: list[list[str]]) -> int:
    return max(map(len, itertools.chain.from_iterable(rows)), default=0)


def _names(header: list[str]) -> list[str]:
    return [name.strip() for name in header]


def _line(columns: list[str], row: list[str]) -> Line:
    same = len(row) == len(columns)
    fault = "" if same else f"{len(row)} fields, but {len(columns)} columns"
    return Line(dict(zip(columns, row, strict=False)), fault)


def _checked_line(columns: list[str], row: list[str]) -> Line:
    """A line of a batch in which some text may not be stored."""
    line = _line(columns, row)
    return Line(shortened(escaped(line.record)), line.fault or fault_of(row))
