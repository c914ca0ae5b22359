"""Limits of columns: which values pass them, the same in training, in reports and in subsets of a dataset."""

from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Values = TypeVar("Values", pa.Array, pa.ChunkedArray)


def at_least(values: Values, limit: float) -> Values:
    """Whether each number is a limit or larger; one that is null is not."""
    return pc.fill_null(pc.greater_equal(values, _scalar(values, limit)), False)


def at_most(values: Values, limit: float) -> Values:
    """Whether each number is a limit or smaller; one that is null is not."""
    return pc.fill_null(pc.less_equal(values, _scalar(values, limit)), False)


def _scalar(values: pa.Array | pa.ChunkedArray, limit: float) -> pa.Scalar:
    """Numbers of 32 bits are compared as such: 0.7 passes a limit of 0.7."""
    return pa.scalar(limit, values.type if pa.types.is_floating(values.type) else pa.float64())
