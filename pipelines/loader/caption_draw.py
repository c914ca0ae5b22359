"""The caption of a clip each time it is used: drawn by seed, epoch and key, apart from all other draws."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import AnimaticError
from models.bundle import TrainedCaptions
from pipelines.dataset import Dataset
from pipelines.dataset.columns import Column, read_column
from pipelines.loader.captions import IDENTITY, TABLE, Captions
from pipelines.loader.chosen_clips import digest_before
from pipelines.loader.keyed_random import keyed_bits
from pipelines.loader.row_set import RowSet, RowSetBuilder


class CaptionChoice:
    """The captions that the clips of one dataset may have; safe to share between threads."""

    def __init__(self, dataset: Dataset, setting: Captions) -> None:
        """Raises AnimaticError if a source is missing, holds no text, or is of an earlier dataset."""
        self._dataset, self._setting = dataset, setting
        self._table = dataset.rows
        self._columns = {name: _texts(dataset, name) for name in setting.sources if name != TABLE}

    @functools.cached_property
    def differs_from_table(self) -> bool:
        """Whether a clip may have another caption than its first one of the source table."""
        if self._setting.sources != [TABLE]:
            return True
        return self._setting.draw == "random" and self._dataset.has_more_captions

    def record(self) -> TrainedCaptions | None:
        """What decides the captions besides dataset and seed; None where each is the first of its table."""
        if not self.differs_from_table:
            return None
        digests = {name: column.digest for name, column in sorted(self._columns.items())}
        return TrainedCaptions(setting=IDENTITY.values(self._setting), columns=digests)

    def record_before(self, digest: str) -> TrainedCaptions | None:
        """:meth:`record` as it was in the dataset's state ``digest``, before a takedown."""
        now = self.record()
        if now is None:
            return None
        folder = self._dataset.folder
        return {**now, "columns": {name: digest_before(folder, name, digest) for name in now["columns"]}}

    def without(self, chosen: RowSet) -> int:
        """How many of the chosen clips have no caption in any source."""
        missing = chosen
        if TABLE in self._setting.sources:
            # Numbers are read faster than texts. Image tars of others have no such column, but captions.
            missing &= _rows(
                pc.equal(pc.fill_null(batch.column(0), 1), 0) for batch in self._table.batches(["txt_size"])
            )
        for column in self._columns.values():
            missing &= _rows(map(_is_empty, column.batches()))
        return len(missing)

    def draw(self, row: int, seed: int, epoch: int, key: str) -> str:
        """The caption of the clip in ``row``, or an empty one where no source has any.

        ``key`` is that of the draw: the clip's own, or another for a clip that replaces one.
        """
        found = [(n, texts) for n, name in enumerate(self._setting.sources) if (texts := self._of(name, row))]
        if not found:
            return ""
        if len(found) == 1 and len(found[0][1]) == 1:
            return found[0][1][0]
        generator = np.random.Generator(keyed_bits("caption", seed, epoch, key))
        of_source, of_text = generator.random(2)
        texts = found[self._source([n for n, _ in found], of_source)][1]
        return texts[0 if self._setting.draw == "first" else int(of_text * len(texts))]

    def _source(self, present: Sequence[int], fraction: float) -> int:
        """Position in ``present`` of the source that is used."""
        weights = self._setting.weights
        if weights is None:
            return 0
        ends = np.cumsum([weights[number] for number in present])
        return int(np.searchsorted(ends, fraction * ends[-1], "right"))

    def _of(self, source: str, row: int) -> list[str]:
        """The captions that a source has for a clip, empty ones left out."""
        if source != TABLE:
            texts = self._columns[source].rows.cells(row, [source])[source]
            return [text for text in (texts if isinstance(texts, list) else [texts]) if text]
        cells = self._table.cells(row, ("caption", "more_captions"))
        more = cells["more_captions"] if self._setting.draw == "random" else None
        return [text for text in (cells["caption"], *(more or ())) if text]


def _texts(dataset: Dataset, name: str) -> Column:
    column = read_column(dataset, name)
    kind = column.type
    if not pa.types.is_string(kind.value_type if pa.types.is_list(kind) else kind):
        raise AnimaticError(
            f"data.captions.sources: the column {name} of {dataset.folder} holds {kind} values, not "
            f"captions; name {TABLE}, or a column of `animatic caption`"
        )
    return column


def _is_empty(values: pa.Array) -> pa.Array:
    """Whether each text, or list of texts, is missing or empty."""
    length = pc.list_value_length if pa.types.is_list(values.type) else pc.binary_length
    return pc.equal(pc.fill_null(length(values), 0), 0)


def _rows(masks: Iterable[pa.Array]) -> RowSet:
    builder = RowSetBuilder()
    for mask in masks:
        builder.add(mask.to_numpy(zero_copy_only=False))
    return builder.built()
