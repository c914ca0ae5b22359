"""The tables of a dataset, samples.parquet and rejects.parquet, written as rows come, in bounded memory."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from core.canonical_json import canonical_json
from core.storage import Folder
from pipelines.dataset.records import MEMBERS, RowOutcome

SAMPLES, REJECTS = "samples.parquet", "rejects.parquet"
_RUNG = pa.struct(
    {
        "rung": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "fps": pa.float64(),
        "frames": pa.int32(),
        "offset": pa.int64(),
        "size": pa.int64(),
    }
)
SAMPLES_SCHEMA = pa.schema(
    [("key", pa.string()), ("shard", pa.string())]
    + [(f"{member}_{part}", pa.int64()) for member in MEMBERS for part in ("offset", "size")]
    + [("caption", pa.string())]
    + [(name, pa.int32()) for name in ("width", "height", "frames")]
    + [("fps", pa.float64()), ("duration", pa.float64())]
    + [("source_id", pa.string()), ("condition_frame", pa.int32())]
    + [("motion", pa.float32()), ("brightness", pa.float32()), ("text", pa.float32()), ("phash", pa.string())]
    + [(f"more_jpg_{part}", pa.list_(pa.int64())) for part in ("offset", "size")]
    + [("more_captions", pa.list_(pa.string())), ("rungs", pa.list_(_RUNG))]
)
# Columns that datasets of earlier versions lack.
LATER_COLUMNS = ("text", "phash", "more_jpg_offset", "more_jpg_size", "more_captions", "rungs")
REJECTS_SCHEMA = pa.schema(
    [("row", pa.int64())] + [(name, pa.string()) for name in ("source_id", "reason", "detail", "record")]
)
GROUP_ROWS = 1 << 15


class RejectedRow(TypedDict):
    """A row of rejects.parquet; ``record`` is the row of the source table as JSON."""

    row: int
    source_id: str
    reason: str
    detail: str
    record: str


def rejected(outcomes: Iterable[RowOutcome]) -> list[RejectedRow]:
    """Rows of rejects.parquet from the outcomes of a unit."""
    return [
        {
            "row": outcome["row"],
            "source_id": outcome["source_id"],
            "reason": outcome["reason"],
            "detail": outcome["detail"],
            "record": canonical_json(outcome["record"]).decode(),
        }
        for outcome in outcomes
        if not outcome["samples"]
    ]


class TableWriter:
    """A Parquet file whose bytes depend on the rows alone, not on how many come at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[Mapping[str, object]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._writer.close()

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows; columns that a row lacks are null."""
        for row in rows:
            self._waiting.append(row)
            if len(self._waiting) == GROUP_ROWS:
                self._flush()

    def close(self) -> None:
        """Write what is left and finish the file."""
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema), GROUP_ROWS)
        self._waiting.clear()


@dataclass(frozen=True)
class DatasetTables:
    """Both tables of a dataset while they are written; ``paths`` are their temporary files by name."""

    samples: TableWriter
    rejects: TableWriter
    paths: dict[str, Path]

    def finish(self) -> dict[str, Path]:
        """Complete the files; they get their names when :func:`writing_tables` ends."""
        self.samples.close()
        self.rejects.close()
        return dict(self.paths)


@contextlib.contextmanager
def writing_tables(folder: Folder) -> Iterator[DatasetTables]:
    """Both tables, which replace those in the folder when the block ends without an error."""
    with contextlib.ExitStack() as files:
        paths = {name: files.enter_context(folder.creating(name)) for name in (SAMPLES, REJECTS)}
        with (
            TableWriter(paths[SAMPLES], SAMPLES_SCHEMA) as samples,
            TableWriter(paths[REJECTS], REJECTS_SCHEMA) as rejects,
        ):
            yield DatasetTables(samples, rejects, paths)
