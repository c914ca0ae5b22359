"""The texts of a dataset: captions of each column, and labels, as licences, by how often they occur."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset import Dataset
from pipelines.dataset.columns import SIMILAR_TO, column_source, read_column, stored_columns

_EXAMPLES = 3
_LABELS = 20  # of a column; one with more different texts has captions
_LOOKED_AT = 10_000  # rows, to see that there are more


@dataclass(frozen=True)
class CaptionFigures:
    """One column of captions.

    Attributes:
        name: ``caption`` for that of the source table, or of the column beside the dataset.
        without: clips whose caption is empty or missing.
        words: a short one (of a twentieth of the clips none is longer), the median, a long one; empty
        without any. several: clips with more than one caption in this column. examples: captions from all
        over the dataset.
    """

    name: str
    without: int
    words: list[int]
    several: int
    examples: list[str]


@dataclass(frozen=True)
class LabelFigures:
    """A column of few different texts: the number of clips of each, the most frequent first."""

    name: str
    clips: dict[str, int]


def texts(dataset: Dataset) -> tuple[list[CaptionFigures], list[LabelFigures]]:
    """Figures of the table's captions, and of every column of texts beside the dataset.

    Columns of an earlier state of the dataset are left out. Raises AnimaticError if one is damaged.
    """
    samples = dataset.samples
    captions = [_captions("caption", samples["caption"], samples["more_captions"])]
    labels = list[LabelFigures]()
    for name in stored_columns(dataset.folder):
        if name == SIMILAR_TO or column_source(dataset.folder, name).get("dataset") != dataset.digest:
            continue
        values = read_column(dataset, name).values
        if not pa.types.is_string(values.type):
            continue
        if len(values.slice(0, _LOOKED_AT).unique()) > _LABELS or len(values.unique()) > _LABELS:
            captions.append(_captions(name, values, None))
        else:
            counted = sorted(values.value_counts().to_pylist(), key=lambda each: -each["counts"])
            labels.append(LabelFigures(name, {each["values"] or "none": each["counts"] for each in counted}))
    return captions, labels


def _captions(name: str, column: pa.ChunkedArray, further: pa.ChunkedArray | None) -> CaptionFigures:
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
    filled = pc.greater(pc.utf8_length(trimmed), 0).to_numpy()
    words = pc.add(pc.count_substring_regex(trimmed, pattern=r"\s+"), 1).to_numpy()[filled]
    rows = np.flatnonzero(filled)
    chosen = rows[np.linspace(0, len(rows) - 1, _EXAMPLES).astype(int)] if len(rows) else rows
    several = 0 if further is None else int(pc.sum(pc.greater(pc.list_value_length(further), 0)).as_py() or 0)
    return CaptionFigures(
        name=name,
        without=len(column) - len(rows),
        words=np.quantile(words, (0.05, 0.5, 0.95), method="lower").astype(int).tolist()
        if len(words)
        else [],
        several=several,
        examples=[column[row].as_py() for row in np.unique(chosen).tolist()],
    )
