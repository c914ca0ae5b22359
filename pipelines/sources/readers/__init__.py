"""CSV, JSONL and Parquet files → lines of text in batches; lines that cannot be read are marked."""

import contextlib
import lzma
import zlib
from collections.abc import Iterator

import pyarrow as pa

from core.errors import AnimaticError
from pipelines.sources.files import Digest, SourceFile
from pipelines.sources.readers.csv_reader import CsvReader
from pipelines.sources.readers.jsonl_reader import JsonlReader
from pipelines.sources.readers.lines import Line, Reader
from pipelines.sources.readers.parquet_reader import ParquetReader

__all__ = ["Line", "read_column", "read_columns", "read_lines"]

# What reading, decompressing or parsing a damaged file raises.
UNREADABLE = (OSError, EOFError, ValueError, ImportError, pa.ArrowException, zlib.error, lzma.LZMAError)


def read_columns(file: SourceFile) -> list[str]:
    """Names of the columns; of a JSONL file those of its first object. Raises AnimaticError."""
    with _readable(file), file.open() as data:
        return _reader(file).columns(data)


def read_lines(file: SourceFile) -> Iterator[list[Line]]:
    """Every line but blank ones. Raises AnimaticError if the file cannot be read to its end."""
    with _readable(file), file.open() as data:
        yield from _reader(file).lines(data)


def read_column(file: SourceFile, name: str, digest: Digest | None = None) -> Iterator[list[str]]:
    """One column of every line. The raw bytes go into ``digest``, except those of a Parquet file.

    Raises AnimaticError if the file cannot be read to its end.
    """
    with _readable(file), file.open(digest) as data:
        yield from _reader(file).column(data, name)


def _reader(file: SourceFile) -> Reader:
    if file.kind == "parquet":
        return ParquetReader()
    if file.kind == "jsonl":
        return JsonlReader()
    return CsvReader(file.path, "\t" if file.kind == "tsv" else ",")


@contextlib.contextmanager
def _readable(file: SourceFile) -> Iterator[None]:
    """Name the file in errors of reading it."""
    try:
        yield
    except UNREADABLE as error:
        raise AnimaticError(f"the source table {file.path} cannot be read: {error}") from error
