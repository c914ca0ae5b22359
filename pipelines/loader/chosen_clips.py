"""A selection applied to a dataset: which of its clips pass, and which columns beside it decide that."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from core.canonical_json import digest_of
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, SIMILAR_TO, column_source, read_column, stored_columns
from pipelines.dataset.tables import SAMPLES_SCHEMA
from pipelines.loader.selection import Selection

Chosen = npt.NDArray[np.bool_]

# The numbers that samples.parquet has of every clip, apart from where its members are stored.
_NUMBERS = [
    field.name
    for field in SAMPLES_SCHEMA
    if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    and not field.name.endswith(("_offset", "_size"))
]


def passing_clips(dataset: Dataset, selection: Selection) -> Chosen:
    """For each sample whether it passes, (samples).

    Raises AnimaticError if the selection needs a column that the dataset lacks.
    """
    chosen = np.ones(len(dataset), np.bool_)
    if selection.skip_duplicates:
        chosen &= ~_is_one_of(dataset, dataset.duplicates["key"])
    if selection.skip_similar:
        chosen &= read_column(dataset, SIMILAR_TO).values.is_null().to_numpy()
    if selection.min_clip_similarity is not None:
        values = read_column(dataset, CLIP_SIMILARITY).values
        chosen &= _pass(pc.greater_equal, values, selection.min_clip_similarity)
    for compare, limits in ((pc.greater_equal, selection.min), (pc.less_equal, selection.max)):
        for name, limit in limits.items():
            chosen &= _pass(compare, numbers(dataset, name), limit)
    return chosen


def number_columns(dataset: Dataset) -> list[str]:
    """The columns that ``min`` and ``max`` can compare: those of samples.parquet, then those beside it.

    Columns of an earlier state of the dataset are left out. Raises AnimaticError if one is damaged.
    """
    folder = dataset.folder
    current = [n for n in stored_columns(folder) if column_source(folder, n).get("dataset") == dataset.digest]
    return [*_NUMBERS, *(name for name in current if _has_numbers(read_column(dataset, name).values))]


def numbers(dataset: Dataset, name: str) -> pa.ChunkedArray:
    """The values of a column that ``min`` and ``max`` can compare, null where a sample has none.

    Raises AnimaticError if there is no such column.
    """
    if name in _NUMBERS:
        return dataset.samples[name]
    stored = stored_columns(dataset.folder)
    if name not in stored:
        raise AnimaticError(
            f"data.selection: dataset {dataset.folder} has no column {name!r:.80}; it has "
            f"{', '.join(sorted({*_NUMBERS, *stored}))}; `animatic score` computes others"
        )
    values = read_column(dataset, name).values
    if not _has_numbers(values):
        raise AnimaticError(f"data.selection: column {name} of {dataset.folder} has no numbers to compare")
    return values


def columns_beside(selection: Selection) -> list[str]:
    """Names of the columns beside a dataset that it reads besides the similarity of image and caption."""
    similar = {SIMILAR_TO} if selection.skip_similar else set()
    return sorted(similar | ({*selection.min, *selection.max} - set(_NUMBERS)))


def digest_before(folder: Folder, column: str, dataset: str) -> str:
    """The digest of a stored column's source, had it been of the dataset's state ``dataset``."""
    return digest_of({**column_source(folder, column), "dataset": dataset})


def _is_one_of(dataset: Dataset, keys: pa.ChunkedArray) -> Chosen:
    found: Chosen = pc.is_in(dataset.samples["key"], value_set=keys.combine_chunks()).to_numpy()
    return found


def _pass(
    compare: Callable[[pa.ChunkedArray, pa.Scalar], pa.ChunkedArray], values: pa.ChunkedArray, limit: float
) -> Chosen:
    """Whether each value passes the limit. A sample without a value is not known to be good."""
    # Limits of 32-bit numbers are compared as such: 0.7 passes a limit of 0.7.
    kind = values.type if pa.types.is_floating(values.type) else pa.float64()
    passed: Chosen = pc.fill_null(compare(values, pa.scalar(limit, kind)), False).to_numpy()
    return passed


def _has_numbers(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_floating(values.type) or pa.types.is_integer(values.type))
