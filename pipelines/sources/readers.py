"""CSV, JSONL and Parquet → records of text, streamed in batches; lines that cannot be read are marked."""

import contextlib
import csv
import io
import itertools
import json
import lzma
import zlib
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import AnimaticError
from pipelines.sources.files import SourceFile

BATCH = 1024
FIELD_CHARS = 1 << 20
LINE_BYTES = 16 << 20

UNREADABLE = (OSError, EOFError, ValueError, ImportError, pa.ArrowException, zlib.error, lzma.LZMAError)

# Follows the last line of a CSV. No row is only this: NUL is never sound.
END = "\0end"

# A record, and whether its line was sound: as many fields as columns, UTF-8, no NUL.
Record = tuple[dict[str, str], bool]


def read_columns(file: SourceFile) -> list[str]:
    """Names of the columns; of a JSONL file those of its first object. Raises AnimaticError."""
    with _readable(file), file.open() as data:
        if file.kind == "parquet":
            return list(pq.ParquetFile(data).schema_arrow.names)
        if file.kind == "jsonl":
            first = next((record for record, sound in _jsonl_records(data) if sound), {})
            return list(first)
        with contextlib.closing(_csv_lines(file, data)) as lines:
            return next(lines, [])


def read_records(file: SourceFile, digest: Any = None) -> Iterator[list[Record]]:
    """Every line in batches; blank lines are none. The raw bytes go into ``digest`` (not a Parquet file's).

    Raises AnimaticError if the file cannot be read to its end.
    """
    with _readable(file), file.open(digest) as data:
        if file.kind == "parquet":
            yield from _parquet_batches(data)
        elif file.kind == "jsonl":
            lines = _jsonl_records(data)
            while batch := list(itertools.islice(lines, BATCH)):
                yield batch
        else:
            yield from _csv_batches(file, data)


@contextlib.contextmanager
def _readable(file: SourceFile) -> Iterator[None]:
    """Say which file it was that could not be read."""
    try:
        yield
    except UNREADABLE as error:
        raise AnimaticError(f"the source table {file.path} cannot be read: {error}") from error


def read_column(file: SourceFile, name: str, digest: Any = None) -> Iterator[list[str]]:
    """One column of every line, quicker than ``read_records``; a line that lacks it gives an empty text."""
    with _readable(file), file.open(digest) as data:
        if file.kind == "parquet":
            for batch in pq.ParquetFile(data).iter_batches(BATCH, columns=[name]):
                yield _column_text(batch.column(0))
        elif file.kind == "jsonl":
            lines = _jsonl_records(data)
            while records := list(itertools.islice(lines, BATCH)):
                yield [record.get(name, "") for record, _ in records]
        else:
            cells = _csv_lines(file, data)
            place = next(cells, []).index(name)
            while found := list(itertools.islice(cells, BATCH)):
                yield [line[place] if place < len(line) else "" for line in found]


def _csv_lines(file: SourceFile, data: BinaryIO) -> Generator[list[str]]:
    csv.field_size_limit(FIELD_CHARS)
    # Bytes that are not UTF-8 spoil their own line only: they come through as surrogates, found by _sound.
    text = io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(itertools.chain(text, [END]), delimiter="\t" if file.kind == "tsv" else ",")
    begun = 1
    try:
        for line in reader:
            if line == [END]:
                return
            if line and line[-1].endswith(END):
                raise AnimaticError(
                    f"{file.path}: a quote that is opened in the row of line {begun} is never closed, so all "
                    "that follows would be one row: mend that line"
                )
            begun = reader.line_num + 1
            if line:
                yield line
    except csv.Error as error:
        raise AnimaticError(f"{file.path}, line {reader.line_num}: {error}") from error
    finally:
        text.detach()


def _csv_batches(file: SourceFile, data: BinaryIO) -> Iterator[list[Record]]:
    lines = _csv_lines(file, data)
    columns = next(lines, [])
    width = len(columns)
    while batch := list(itertools.islice(lines, BATCH)):
        if _sound(itertools.chain.from_iterable(batch)):
            yield [(dict(zip(columns, line, strict=False)), len(line) == width) for line in batch]
        else:
            yield [
                (_clean(dict(zip(columns, line, strict=False))), len(line) == width and _sound(line))
                for line in batch
            ]


def _sound(values: Any) -> bool:
    """Whether texts are all encodable and free of NUL."""
    text = "".join(values)
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean(record: dict[str, str]) -> dict[str, str]:
    """What was not UTF-8 written out as backslashed bytes."""
    return {_escaped(name): _escaped(value) for name, value in record.items()}


def _escaped(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _jsonl_records(data: BinaryIO) -> Iterator[Record]:
    first = True
    while line := data.readline(LINE_BYTES):
        whole = len(line) < LINE_BYTES
        rest = line
        while not rest.endswith(b"\n") and len(rest) == LINE_BYTES:
            rest = data.readline(LINE_BYTES)
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        if line.strip():
            yield _json_record(line) if whole else _unread(line)


def _json_record(line: bytes) -> Record:
    try:
        # Numbers stay as they are written.
        value = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        if not isinstance(value, dict):
            return _unread(line)
        nested = any(isinstance(cell, dict | list) for cell in value.values())
        plain = json.loads(line) if nested else {}
        record = {
            name: cell if isinstance(cell, str) else _text(plain.get(name, cell))
            for name, cell in value.items()
        }
    except (ValueError, RecursionError):
        return _unread(line)
    sound = _sound(record) and _sound(record.values())
    return (record, True) if sound else (_clean(record), False)


def _unread(line: bytes) -> Record:
    return {"line": line[:1000].decode("utf-8", "backslashreplace").rstrip("\n")}, False


def _text(cell: Any) -> str:
    return "" if cell is None else json.dumps(cell, ensure_ascii=False, default=str)


def _parquet_batches(data: BinaryIO) -> Iterator[list[Record]]:
    for batch in pq.ParquetFile(data).iter_batches(BATCH):
        columns = [_column_text(column) for column in batch.columns]
        names = batch.schema.names
        for_rows = zip(*columns, strict=True) if columns else ()
        lines = [dict(zip(names, line, strict=True)) for line in for_rows]
        if all(_sound(column) for column in columns):
            yield [(record, True) for record in lines]
        else:
            yield [(_clean(record), _sound(record.values())) for record in lines]


def _column_text(column: pa.Array) -> list[str]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [(cell or b"").decode("utf-8", "surrogateescape") for cell in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [_text(cell) for cell in column.to_pylist()]
    texts: list[str] = pc.fill_null(pc.cast(column, pa.large_string()), "").to_pylist()
    return texts
