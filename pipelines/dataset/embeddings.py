"""embeddings/unit-….arrow beside a dataset: an embedding of each sample of a shard, as an Arrow file.

Its one column ``embedding`` is a list of float16 of fixed length, null where a sample has none; the
schema's metadata record the sha256 of the shard and the digest of what the embeddings were computed from.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.storage import Folder
from pipelines.dataset.records import ShardRecord

COLUMN = "embedding"


@dataclass(frozen=True)
class UnitEmbeddings:
    """``values``, float16 (samples, d), zero where a sample is not ``known``, bool (samples)."""

    values: npt.NDArray[np.float16]
    known: npt.NDArray[np.bool_]


def embeddings_file(unit: int) -> str:
    """Name of the file of a unit's embeddings."""
    return f"embeddings/unit-{unit:06d}.arrow"


def write_embeddings(
    folder: Folder, unit: int, shard: ShardRecord, source: str, embeddings: UnitEmbeddings
) -> None:
    """Store the embeddings of a unit's samples; ``source`` is the digest of what they were computed from."""
    values = embeddings.values
    flat = pa.array(values.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(~embeddings.known))
    table = pa.table({COLUMN: lists}).replace_schema_metadata({"shard": shard["sha256"], "source": source})
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    folder.write(embeddings_file(unit), buffer.getvalue())


def has_embeddings(folder: Folder, unit: int, shard: ShardRecord, source: str) -> bool:
    """Whether the embeddings of a unit are stored, of this shard and this source."""
    with _opened(folder, unit) as file:
        return file is not None and _is_of(file.schema, shard, source)


def read_embeddings(folder: Folder, unit: int, shard: ShardRecord, source: str) -> UnitEmbeddings | None:
    """Embeddings of a unit; None if they are missing, damaged, or of another shard or another source."""
    with _opened(folder, unit) as file:
        if file is None or not _is_of(file.schema, shard, source):
            return None
        try:
            lists = file.read_all()[COLUMN].combine_chunks()
        except (pa.ArrowException, OSError):
            return None
    if len(lists) != shard["samples"]:
        return None
    known = np.asarray(lists.is_valid())
    values = np.array(lists.values).reshape(len(lists), lists.type.list_size)
    values[~known] = 0
    return UnitEmbeddings(values, known)


def keep_embeddings(
    folder: Folder, unit: int, old: ShardRecord, new: ShardRecord, kept: npt.NDArray[np.bool_]
) -> None:
    """Remove the embeddings of samples of a unit that are not ``kept``, bool (samples), if it has any.

    ``old`` and ``new``: the shard with and without them. Embeddings of another state are deleted.
    """
    with _opened(folder, unit) as file:
        source = (file.schema.metadata or {}).get(b"source", b"").decode() if file is not None else ""
    found = read_embeddings(folder, unit, old, source)
    if found is None:
        folder.remove(embeddings_file(unit))
        return
    write_embeddings(folder, unit, new, source, UnitEmbeddings(found.values[kept], found.known[kept]))


def _is_of(schema: pa.Schema, shard: ShardRecord, source: str) -> bool:
    if COLUMN not in schema.names:
        return False
    kind, metadata = schema.field(COLUMN).type, schema.metadata or {}
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float16():
        return False
    recorded = (metadata.get(b"shard"), metadata.get(b"source"))
    return recorded == (shard["sha256"].encode(), source.encode())


@contextlib.contextmanager
def _opened(folder: Folder, unit: int) -> Iterator[pa.ipc.RecordBatchFileReader | None]:
    """The file of a unit; None if it is missing or no Arrow file."""
    with contextlib.ExitStack() as stack:
        try:
            file = pa.ipc.open_file(stack.enter_context(folder.open(embeddings_file(unit))))
        except (FileNotFoundError, pa.ArrowException):
            file = None
        yield file
