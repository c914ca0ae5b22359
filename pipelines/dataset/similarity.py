"""A table beside the dataset: the similarity of image and caption of each sample according to CLIP."""

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset import Dataset

SIMILARITY = "clip_similarity.parquet"
SIMILARITY_SCHEMA = pa.schema([("key", pa.string()), ("clip_similarity", pa.float32())])


def write_similarity(dataset: Dataset, scores: npt.NDArray[np.float32], source: dict[str, str]) -> None:
    """Write scores, one for each sample in order and NaN where a sample has none, and their ``source``."""
    columns = [dataset.samples["key"].combine_chunks(), pa.array(scores, from_pandas=True)]
    table = pa.table(dict(zip(SIMILARITY_SCHEMA.names, columns, strict=True)), SIMILARITY_SCHEMA)
    _write(dataset.folder, table, source)


def follow_takedown(dataset: Dataset, before: str | None) -> None:
    """Remove the scores of samples that a dataset no longer has, if it has scores.

    Those that were of its state ``before``, a digest, are of the present state then.

    Raises AnimaticError if the table is damaged.
    """
    if not dataset.folder.exists(SIMILARITY):
        return
    table = _read(dataset.folder)
    source, keys = _source(table), dataset.samples["key"]
    kept = table.filter(pc.is_in(table["key"], value_set=keys.combine_chunks())).combine_chunks()
    if source.get("dataset") == before and kept["key"].equals(keys):
        source["dataset"] = dataset.digest
    if len(kept) < len(table) or source != _source(table):
        _write(dataset.folder, kept, source)


def similarity_source(folder: Folder) -> dict[str, str]:
    """The dataset and model that the stored scores are of; empty without scores."""
    if not folder.exists(SIMILARITY):
        return {}
    return _source(_read(folder))


def digest_before(folder: Folder, dataset: str) -> str:
    """The digest of the source of the present scores, had they been of the dataset's state ``dataset``."""
    return digest_of({**similarity_source(folder), "dataset": dataset})


def read_similarity(dataset: Dataset) -> tuple[npt.NDArray[np.float32], str]:
    """Scores of all samples in order, NaN where a sample has none, and the digest of their source.

    Raises AnimaticError if the dataset was not scored in its present state.
    """
    remedy = f"run `animatic score {dataset.folder}`"
    if not dataset.folder.exists(SIMILARITY):
        raise AnimaticError(f"{dataset.folder} has no scores of image and caption: {remedy}")
    table = _read(dataset.folder)
    source = _source(table)
    if source.get("dataset") != dataset.digest or not table["key"].equals(dataset.samples["key"]):
        raise AnimaticError(f"{dataset.folder}/{SIMILARITY} is of an earlier state of the dataset: {remedy}")
    return table["clip_similarity"].to_numpy(), digest_of(source)


def _write(folder: Folder, table: pa.Table, source: dict[str, str]) -> None:
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(source), buffer, compression="zstd")
    folder.write(SIMILARITY, buffer.getvalue())


def _read(folder: Folder) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(folder.read(SIMILARITY)))
    except pa.ArrowInvalid as error:
        raise AnimaticError(
            f"{folder}/{SIMILARITY} cannot be read ({error}); delete it and score again"
        ) from error
    if table.schema.names != SIMILARITY_SCHEMA.names:
        raise AnimaticError(f"{folder}/{SIMILARITY} has other columns; delete it and score again")
    return table


def _source(table: pa.Table) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"}
