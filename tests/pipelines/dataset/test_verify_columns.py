"""Verification finds columns beside a dataset that are damaged, but none that are of an earlier state."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.dataset import Dataset
from pipelines.dataset.columns import column_source, write_column
from pipelines.dataset.verify import verify
from pipelines.score import ScoreConfig, score
from tests.support.coded_clips import build_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = build_dataset(tmp_path / "set", [12, 12, 12], sizes=[2, 1])
    score(ScoreConfig(dataset=made.url, metrics=("flow", "blur"), workers=0))
    assert verify(made.url) == []
    return made


def test_a_damaged_column_is_named(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "set/columns/flow.parquet"
    path.write_bytes(path.read_bytes()[:100])
    (problem,) = verify(dataset.url)
    assert "columns/flow.parquet cannot be read" in problem


def test_values_that_differ_from_their_units_are_found(dataset: Dataset) -> None:
    source = column_source(dataset.folder, "flow")
    write_column(dataset, "flow", pa.array([0.1, 0.2, 99.0], pa.float32()), source)
    assert verify(dataset.url) == [
        f"columns/flow.parquet: its values are not those of columns/flow/unit-00000{unit}.json"
        for unit in (0, 1)
    ]
    write_column(dataset, "flow", pa.array(["a", "b", "c"]), source)
    assert len(verify(dataset.url)) == 2


def test_keys_of_another_dataset_are_found(dataset: Dataset, tmp_path: Path) -> None:
    other = build_dataset(tmp_path / "other", [12, 12])
    source = {"dataset": dataset.digest}
    write_column(other, "flow", pa.array([0.1, 0.2]), source)
    (tmp_path / "set/columns/flow.parquet").write_bytes(
        (tmp_path / "other/columns/flow.parquet").read_bytes()
    )
    assert verify(dataset.url) == ["columns/flow.parquet: its keys are not those of the dataset's samples"]


def test_a_column_of_an_earlier_state_and_values_of_other_units_are_no_problem(
    dataset: Dataset, tmp_path: Path
) -> None:
    write_column(dataset, "flow", pa.array([0.1, 0.2, 0.3]), {"dataset": "0" * 64})
    unit = tmp_path / "set/columns/blur/unit-000000.json"
    unit.write_text(json.dumps(json.loads(unit.read_text()) | {"shard": "0" * 64, "values": [9.0, 9.0]}))
    assert verify(dataset.url) == []
