"""Parquet tables, every column as text."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.readers.jsonl_reader import json_text
from pipelines.sources.readers.lines import BATCH, Line, escaped, fault_of, is_storable


class ParquetReader:
    """Reads Parquet; nested values become JSON."""

    notice = ""
    dialect = None

    def columns(self, data: BinaryIO) -> list[str]:
        """Names in the schema, without surrounding blanks."""
        return [name.strip() for name in pq.ParquetFile(data).schema_arrow.names]

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every row."""
        file = pq.ParquetFile(data)
        for batch in file.iter_batches(BATCH, columns=self._paths(file)):
            columns = [_texts(column) for column in batch.columns]
            names = [name.strip() for name in batch.schema.names]
            rows = zip(*columns, strict=True) if columns else ()
            records = [dict(zip(names, row, strict=True)) for row in rows]
            if all(is_storable("".join(column)) for column in columns):
                yield [Line(record) for record in records]
            else:
                yield [
                    Line(record) if is_storable("".join(record.values())) else _malformed(record)
                    for record in records
                ]

    def cells(self, data: BinaryIO, names: Sequence[str]) -> Iterator[list[list[str]]]:
        """Some columns, alone read from the file."""
        file = pq.ParquetFile(data)
        written = {name.strip(): name for name in file.schema_arrow.names}
        wanted = dict.fromkeys(written[name] for name in names if name in written)
        for batch in file.iter_batches(BATCH, columns=list(wanted)):
            texts = {name: _texts(column) for name, column in zip(wanted, batch.columns, strict=True)}
            blank = [""] * batch.num_rows
            yield [texts[written[name]] if name in written else blank for name in names]

    def _paths(self, file: pq.ParquetFile) -> list[str] | None:
        """Paths of the columns that ``lines`` reads; None: all."""
        return None


def _malformed(record: dict[str, str]) -> Line:
    return Line(escaped(record), fault_of(record.values()) or "a NUL byte")


def _texts(column: pa.Array) -> list[str]:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column, kind = column.storage, kind.storage_type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [(cell or b"").decode("utf-8", "surrogateescape") for cell in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [json_text(cell) for cell in column.to_pylist()]
    if pa.types.is_null(kind):
        return [""] * len(column)
    try:
        texts: list[str] = pc.fill_null(pc.cast(column, pa.large_string()), "").to_pylist()
    except pa.ArrowNotImplementedError:  # durations and intervals, for example
        return ["" if cell is None else str(cell) for cell in column.to_pylist()]
    return texts
