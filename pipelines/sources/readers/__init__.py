"""CSV, JSON and Parquet files → lines of text in batches; lines that cannot be read are marked."""

import contextlib
import lzma
import zlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from core.errors import AnimaticError
from core.urls import without_credentials
from pipelines.sources.csv_settings import CsvSettings
from pipelines.sources.files import Digest, SourceFile
from pipelines.sources.readers.content import check_is_text
from pipelines.sources.readers.csv_reader import CsvReader
from pipelines.sources.readers.dialect import HEAD_BYTES, find_dialect
from pipelines.sources.readers.json_reader import json_reader
from pipelines.sources.readers.jsonl_reader import JsonlReader
from pipelines.sources.readers.lines import Line, Reader
from pipelines.sources.readers.nested import NestedReader
from pipelines.sources.readers.parquet_reader import ParquetReader
from pipelines.sources.readers.parquet_videos import ParquetVideosReader
from pipelines.sources.row import ColumnNames

__all__ = ["Line", "Reader", "open_reader", "read_cells", "read_columns", "read_lines"]

# What reading, decompressing or parsing a damaged file raises.
UNREADABLE = (OSError, EOFError, ValueError, ImportError, pa.ArrowException, zlib.error, lzma.LZMAError)


def open_reader(file: SourceFile, csv: CsvSettings, names: ColumnNames, needed: Sequence[str]) -> Reader:
    """The reader of a file, by its name and its first bytes.

    Args:
        file: to be read.
        csv: settings of files of delimited values.
        names: of the columns; those with a dot may be values within nested columns.
        needed: columns that a header must have.

    Raises AnimaticError if the file cannot be read, or is something else than a table.
    """
    reader = _plain_reader(file, csv, names, needed)
    paths = [name for name in names.mapped() if "." in name]
    return NestedReader(reader, paths) if paths else reader


def _plain_reader(file: SourceFile, csv: CsvSettings, names: ColumnNames, needed: Sequence[str]) -> Reader:
    if names.video_bytes is not None and file.kind != "parquet":
        raise AnimaticError(f"{file.path} is no Parquet file: unset columns.video_bytes")
    if file.kind == "parquet" and names.video_bytes is not None:
        return ParquetVideosReader(file.path, file.name, names.video_bytes, names.contentUrl)
    if file.kind == "parquet":
        return ParquetReader()
    with _readable(file), file.open() as data:
        head = data.read(HEAD_BYTES)
    check_is_text(head, file.path)
    if file.kind == "json" or (file.kind == "jsonl" and head.lstrip().startswith(b"[")):
        return json_reader(head, file.path, names.videoid, needed, names.join)
    if file.kind == "jsonl":
        if b"\0" in head[:2] or head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise AnimaticError(
                f"the source table {file.path} is UTF-16: JSON lines must be UTF-8; convert it"
            )
        return JsonlReader()
    usual = "\t" if file.kind == "tsv" else ","
    return CsvReader(file.path, find_dialect(head, csv, usual, needed))


def read_columns(file: SourceFile, reader: Reader) -> list[str]:
    """Names of the columns; of a JSON file those of its first object. Raises AnimaticError."""
    with _readable(file), file.open() as data:
        return reader.columns(data)


def read_lines(file: SourceFile, reader: Reader) -> Iterator[list[Line]]:
    """Every line but blank ones. Raises AnimaticError if the file cannot be read to its end."""
    with _readable(file), file.open() as data:
        yield from reader.lines(data)


def read_cells(
    file: SourceFile, reader: Reader, names: Sequence[str], digest: Digest | None = None
) -> Iterator[list[list[str]]]:
    """Some columns of every line. The raw bytes go into ``digest``, except those of a Parquet file.

    Raises AnimaticError if the file cannot be read to its end.
    """
    with _readable(file), file.open(digest) as data:
        yield from reader.cells(data, names)


@contextlib.contextmanager
def _readable(file: SourceFile) -> Iterator[None]:
    """Name the file in errors of reading it."""
    try:
        yield
    except (AnimaticError, GeneratorExit):
        raise
    except Exception as error:
        # The libraries of stores have types of their own.
        if isinstance(file.filesystem, LocalFileSystem) and not isinstance(error, UNREADABLE):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise AnimaticError(
            f"the source table {without_credentials(f'{file.path} cannot be read: {reason}')}"
        ) from error
