"""The tables of a dataset, samples.parquet and rejects.parquet, written as rows come and never held whole."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from core.canonical_json import canonical_json
from pipelines.dataset.shard_writer import MEMBERS

SAMPLES_SCHEMA = pa.schema(
    [("key", pa.string()), ("shard", pa.string())]
    + [(f"{member}_{part}", pa.int64()) for member in MEMBERS for part in ("offset", "size")]
    + [("caption", pa.string())]
    + [(name, pa.int32()) for name in ("width", "height", "frames")]
    + [("fps", pa.float64()), ("duration", pa.float64())]
    + [("source_id", pa.string()), ("condition_frame", pa.int32())]
    + [("motion", pa.float32()), ("brightness", pa.float32()), ("text", pa.float32()), ("phash", pa.string())]
    + [(f"more_jpg_{part}", pa.list_(pa.int64())) for part in ("offset", "size")]
)
# Columns that datasets of earlier versions lack.
LATER_COLUMNS = ("text", "phash", "more_jpg_offset", "more_jpg_size")
REJECTS_SCHEMA = pa.schema(
    [("row", pa.int64())] + [(name, pa.string()) for name in ("source_id", "reason", "detail", "record")]
)
GROUP_ROWS = 1 << 15


class TableWriter:
    """A Parquet file whose bytes depend on the rows alone, not on how they were handed over."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._waiting:
            self._flush()
        self._writer.close()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows."""
        for row in rows:
            self._waiting.append(row)
            if len(self._waiting) == GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema), GROUP_ROWS)
        self._waiting.clear()


def rejected(outcomes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of rejects.parquet from the outcomes of a unit."""
    return [{**o, "record": canonical_json(o["record"]).decode()} for o in outcomes if not o["samples"]]
