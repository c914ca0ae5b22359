"""Tables of comma- or tab-separated values, as Python's csv module reads them."""

import contextlib
import csv
import io
import itertools
from collections.abc import Generator, Iterator
from typing import BinaryIO

from core.errors import AnimaticError
from pipelines.sources.readers.lines import BATCH, Line, escaped, is_storable

_MAX_FIELD_CHARS = 1 << 20
_END = "\0end"  # appended to the file; never a row of its own, because rows with NUL are invalid


class CsvReader:
    """Reads comma- or tab-separated values; ``path`` is for messages."""

    def __init__(self, path: str, delimiter: str) -> None:
        self._path, self._delimiter = path, delimiter

    def columns(self, data: BinaryIO) -> list[str]:
        """Cells of the first line."""
        with contextlib.closing(self._cells(data)) as cells:
            return next(cells, [])

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every line after the first. Raises AnimaticError for a quote that is never closed."""
        cells = self._cells(data)
        columns = next(cells, [])
        while batch := list(itertools.islice(cells, BATCH)):
            if is_storable(itertools.chain.from_iterable(batch)):
                yield [_line(columns, row) for row in batch]
            else:
                yield [_checked_line(columns, row) for row in batch]

    def column(self, data: BinaryIO, name: str) -> Iterator[list[str]]:
        """Cells of one column. Raises as ``lines`` does."""
        cells = self._cells(data)
        index = next(cells, []).index(name)
        while batch := list(itertools.islice(cells, BATCH)):
            yield [row[index] if index < len(row) else "" for row in batch]

    def _cells(self, data: BinaryIO) -> Generator[list[str]]:
        csv.field_size_limit(_MAX_FIELD_CHARS)
        # Bytes that are not UTF-8 invalidate their own line only: they pass as surrogates.
        text = io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(itertools.chain(text, [_END]), delimiter=self._delimiter)
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
            raise AnimaticError(f"{self._path}, line {reader.line_num}: {error}") from error
        finally:
            text.detach()


def _line(columns: list[str], row: list[str]) -> Line:
    return Line(dict(zip(columns, row, strict=False)), len(row) == len(columns))


def _checked_line(columns: list[str], row: list[str]) -> Line:
    """A line of a batch in which some text cannot be stored."""
    line = _line(columns, row)
    return Line(escaped(line.record), line.valid and is_storable(row))
