"""The samples of a subset: by a filter, a list of keys, limits of columns, and a number drawn by a seed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from core.canonical_json import digest_of
from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column, stored_columns
from pipelines.dataset.limits import at_least, at_most
from pipelines.reshape.draws import draws
from pipelines.reshape.plan import Keep
from pipelines.sources import parse_row_filter

_BATCH = 1 << 15


@dataclass(frozen=True)
class Conditions:
    """What a sample must satisfy, all at once.

    Attributes:
        where: a row filter over columns of samples.parquet and columns beside the dataset.
        keys: the only samples taken.
        minimum, maximum: limits by column; a sample without a value does not pass.
        count: at most as many, drawn by ``seed``.
    """

    where: str | None = None
    keys: frozenset[str] | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    count: int | None = None
    seed: int = 0

    def record(self, dataset: Dataset) -> dict[str, JsonValue]:
        """What the result records. Columns beside the dataset count by the digest of their source."""
        found: dict[str, JsonValue] = {}
        if self.where is not None:
            found["where"] = self.where
        if self.keys is not None:
            found["keys"] = {"number": len(self.keys), "sha256": digest_of(sorted(self.keys))}
        if self.minimum:
            found["min"] = dict(self.minimum)
        if self.maximum:
            found["max"] = dict(self.maximum)
        if self.count is not None:
            found |= {"count": self.count, "seed": self.seed}
        beside = set(self._columns(dataset)) - set(dataset.samples.schema.names)
        if beside:
            found["columns"] = {name: read_column(dataset, name).digest for name in sorted(beside)}
        return found

    def kept(self, dataset: Dataset) -> Keep:
        """Of each sample, whether it satisfies them.

        Raises AnimaticError if a column does not exist or a filter cannot be read, or for keys that the
        dataset does not have.
        """
        keep = np.ones(len(dataset), np.bool_)
        if self.keys is not None:
            keep &= _listed(dataset, self.keys)
        for name, limit in self.minimum.items():
            keep &= _mask(at_least(_numbers(dataset, name), limit))
        for name, limit in self.maximum.items():
            keep &= _mask(at_most(_numbers(dataset, name), limit))
        if self.where is not None:
            keep &= self._filtered(dataset, self.where)
        if self.count is not None and keep.sum() > self.count:
            rows = np.flatnonzero(keep)
            numbers = draws(dataset.samples["key"].take(pa.array(rows)), self.seed)
            keep[:] = False
            keep[rows[np.argsort(numbers, kind="stable")[: self.count]]] = True
        return keep

    def _columns(self, dataset: Dataset) -> list[str]:
        """Names of the columns that are looked at."""
        words = set(re.findall(r"\w+", self.where or ""))
        return [name for name in _known(dataset) if name in words | self.minimum.keys() | self.maximum.keys()]

    def _filtered(self, dataset: Dataset, where: str) -> Keep:
        condition = parse_row_filter(where, [name for name in _known(dataset) if not _is_list(dataset, name)])
        names = self._columns(dataset)
        table = pa.table({name: _as_written(_column(dataset, name)) for name in names}) if names else None
        if table is None:
            raise AnimaticError(f"the filter {where!r:.200} names no column of the samples")
        found = [
            condition({name: "" if value is None else str(value) for name, value in row.items()})
            for batch in table.to_batches(_BATCH)
            for row in batch.to_pylist()
        ]
        return np.array(found, np.bool_)


def _known(dataset: Dataset) -> list[str]:
    return [*dataset.samples.schema.names, *stored_columns(dataset.folder)]


def _is_list(dataset: Dataset, name: str) -> bool:
    schema = dataset.samples.schema
    return name in schema.names and pa.types.is_list(schema.field(name).type)


def _column(dataset: Dataset, name: str) -> pa.ChunkedArray:
    if name in dataset.samples.schema.names:
        return dataset.samples[name]
    if name not in stored_columns(dataset.folder):
        raise AnimaticError(
            f"{dataset.folder} has no column {name}; its samples have: {', '.join(_known(dataset))}"
        )
    return read_column(dataset, name).values


def _as_written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of 32 bits as their shortest texts: in 64 bits, 0.7 would be less than 0.7."""
    return column.cast(pa.string()) if column.type == pa.float32() else column


def _numbers(dataset: Dataset, name: str) -> pa.ChunkedArray:
    column = _column(dataset, name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise AnimaticError(f"column {name} of {dataset.folder} has no numbers: use --where")
    return column


def _mask(passed: pa.ChunkedArray) -> Keep:
    found: Keep = passed.to_numpy()
    return found


def _listed(dataset: Dataset, keys: frozenset[str]) -> Keep:
    found = _mask(pc.is_in(dataset.samples["key"], value_set=pa.array(sorted(keys), pa.string())))
    if found.sum() < len(keys):
        missing = keys.difference(dataset.samples["key"].filter(pa.array(found)).to_pylist())
        raise AnimaticError(
            f"{dataset.folder} has {found.sum()} of the {len(keys)} keys, and not {min(missing)!r:.80}: "
            "remove the others from the list"
        )
    return found
