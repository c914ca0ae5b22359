"""Parquet tables, every column as text."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.sources.readers.jsonl_reader import json_text
from pipelines.sources.readers.lines import BATCH, Line, escaped, is_storable


class ParquetReader:
    """Reads Parquet; nested values become JSON."""

    def columns(self, data: BinaryIO) -> list[str]:
        """Names in the schema."""
        return list(pq.ParquetFile(data).schema_arrow.names)

    def lines(self, data: BinaryIO) -> Iterator[list[Line]]:
        """Every row."""
        for batch in pq.ParquetFile(data).iter_batches(BATCH):
            columns = [_texts(column) for column in batch.columns]
            names = batch.schema.names
            rows = zip(*columns, strict=True) if columns else ()
            records = [dict(zip(names, row, strict=True)) for row in rows]
            if all(is_storable(column) for column in columns):
                yield [Line(record, True) for record in records]
            else:
                yield [Line(escaped(record), is_storable(record.values())) for record in records]

    def column(self, data: BinaryIO, name: str) -> Iterator[list[str]]:
        """One column, alone read from the file."""
        for batch in pq.ParquetFile(data).iter_batches(BATCH, columns=[name]):
            yield _texts(batch.column(0))


def _texts(column: pa.Array) -> list[str]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [(cell or b"").decode("utf-8", "surrogateescape") for cell in column.to_pylist()]
    if pa.types.is_nested(kind):
        return [json_text(cell) for cell in column.to_pylist()]
    texts: list[str] = pc.fill_null(pc.cast(column, pa.large_string()), "").to_pylist()
    return texts
