"""Columns beside a dataset: values with their source, refused once the dataset has changed."""

from pathlib import Path

import pyarrow as pa
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    column_source,
    current_unit_values,
    read_column,
    stored_columns,
    write_column,
    write_unit_values,
)
from tests.support.coded_clips import build_dataset

SOURCE = {"model": "m", "weights": "1" * 64}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return build_dataset(tmp_path / "data", [9, 9, 9], sizes=[2, 1])


def written(dataset: Dataset, name: str, values: pa.Array) -> None:
    write_column(dataset, name, values, {"dataset": dataset.digest, **SOURCE})


def test_values_come_back_in_the_order_of_the_dataset_with_their_source(dataset: Dataset) -> None:
    written(dataset, "aesthetic", pa.array([4.5, None, 5.5], pa.float32()))
    written(dataset, "caption_a", pa.array(["a cat", None, "ein Hund, süß"]))
    assert read_column(dataset, "aesthetic").values.to_pylist() == [4.5, None, 5.5]
    assert read_column(dataset, "caption_a").values.to_pylist() == ["a cat", None, "ein Hund, süß"]
    assert read_column(dataset, "aesthetic").source == {"dataset": dataset.digest, **SOURCE}
    assert column_source(dataset.folder, "blur") == {}
    assert stored_columns(dataset.folder) == ["aesthetic", "caption_a"]
    assert Dataset.open(dataset.url).digest == dataset.digest


def test_a_column_of_an_earlier_state_or_of_none_is_refused_with_the_fix(dataset: Dataset) -> None:
    with pytest.raises(AnimaticError, match=r"has no column blur beside it \(it has: none.*animatic score"):
        read_column(dataset, "blur")
    write_column(dataset, "blur", pa.array([1.0, 2.0, 3.0], pa.float32()), {"dataset": "0" * 64, **SOURCE})
    with pytest.raises(AnimaticError, match=r"columns/blur\.parquet is of an earlier state"):
        read_column(dataset, "blur")
    (dataset.folder.local_path / "columns/blur.parquet").write_bytes(b"no table")
    with pytest.raises(AnimaticError, match=r"cannot be read.*delete it"):
        read_column(dataset, "blur")


@pytest.mark.parametrize("name", ["", "Aesthetic", "../x", "a b", "1a", "a" * 65])
def test_names_that_are_no_file_names_are_refused(dataset: Dataset, name: str) -> None:
    with pytest.raises(AnimaticError, match="cannot be named"):
        written(dataset, name, pa.array([1.0, 2.0, 3.0]))


def test_values_of_a_unit_hold_for_one_shard_and_one_source(dataset: Dataset) -> None:
    folder, (first, second) = dataset.folder, dataset.info["shards"]
    write_unit_values(folder, "blur", 0, first, "source", [1.5, None])
    assert current_unit_values(folder, "blur", 0, first, "source") == [1.5, None]
    assert current_unit_values(folder, "blur", 0, first, "other") is None
    assert current_unit_values(folder, "blur", 0, second, "source") is None
    assert current_unit_values(folder, "blur", 1, second, "source") is None
