"""Clips are chosen by any column of numbers, of the dataset's table or beside it."""

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from pipelines.loader import Selection, WeightedDataset, training_digest
from tests.support.coded_clips import build_dataset
from training.config import resolve

FLOW = [0.7, None, 3.0, float("nan"), -1.0]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = build_dataset(tmp_path_factory.mktemp("data") / "set", [12, 12, 24, 36, 12])
    add(made, "flow", pa.array(FLOW, pa.float32()))
    add(made, "language", pa.array(["en"] * 5))
    return made


def add(dataset: Dataset, name: str, values: pa.Array, model: str = "m") -> None:
    write_column(dataset, name, values, {"dataset": dataset.digest, "model": model})


def chosen(dataset: Dataset, **limits: dict[str, float]) -> list[int]:
    return list(WeightedDataset(dataset, selection=Selection(**limits)).selected())


def test_limits_include_their_value_and_a_clip_without_one_does_not_pass(dataset: Dataset) -> None:
    assert chosen(dataset, min={"flow": 0.7}) == [0, 2]  # as 32-bit numbers, 0.7 is not less than 0.7
    assert chosen(dataset, max={"flow": 0.7}) == [0, 4]
    assert chosen(dataset, min={"flow": -1}, max={"flow": 0.7}) == [0, 4]
    assert chosen(dataset, min={"flow": -100}) == [0, 2, 4]


def test_columns_of_the_table_count_too(dataset: Dataset) -> None:
    assert chosen(dataset, min={"frames": 24}) == [2, 3]
    assert chosen(dataset, max={"duration": 2.0}, min={"flow": 0}) == [0, 2]
    with pytest.raises(AnimaticError, match=r"not one of its 5 clips passes data.selection .*text"):
        chosen(dataset, max={"text": 1})  # was not measured
    assert "columns" not in WeightedDataset(dataset, selection=Selection(min={"frames": 24})).record()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("flw", r"no column 'flw'; it has brightness, .*duration, flow, .*language"),
        ("../flow", "no column '../flow'"),
        ("language", "has no numbers to compare"),
        ("jpg_size", "no column 'jpg_size'"),
    ],
)
def test_a_column_that_does_not_fit_is_an_error(dataset: Dataset, name: str, problem: str) -> None:
    with pytest.raises(AnimaticError, match=problem):
        chosen(dataset, min={name: 0})


def test_clips_similar_to_an_earlier_one_are_left_out(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [12] * 4)
    selection = Selection(skip_similar=True)
    with pytest.raises(AnimaticError, match=r"no column similar_to .*run `animatic similar"):
        WeightedDataset(dataset, selection=selection).selected()
    add(dataset, "similar_to", pa.array([None, "clip-0000", None, "clip-0000"]))
    chosen_ones = WeightedDataset(dataset, selection=selection)
    assert list(chosen_ones.selected()) == [0, 2]
    assert list(chosen_ones.record()["columns"]) == ["similar_to"]


def test_limits_are_finite_numbers() -> None:
    for value in (float("nan"), float("inf"), "much"):
        with pytest.raises(ValidationError, match="flow"):
            Selection(min={"flow": value})
    assert resolve(3, "tiny", ["data.selection.max.flow=4.5"]).data.selection.max == {"flow": 4.5}


def test_the_digest_of_the_data_covers_limits_and_the_columns_they_compare(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "set", [12, 12])
    add(dataset, "flow", pa.array([1.0, 2.0]))
    by_flow = WeightedDataset(dataset, selection=Selection(min={"flow": 0}))
    others = [Selection(max={"flow": 9}), Selection(min={"flow": 1}), Selection()]
    digests = [by_flow.digest, *(WeightedDataset(dataset, selection=each).digest for each in others)]
    add(dataset, "flow", pa.array([1.0, 2.0]), model="another")
    digests.append(WeightedDataset(dataset, selection=Selection(min={"flow": 0})).digest)
    assert len(set(digests)) == len(digests)


def test_records_of_earlier_versions_keep_their_digest() -> None:
    selection = {"skip_duplicates": False, "min_clip_similarity": 0.2}
    record = {"digest": "d", "latents": None, "weights": [(0, 1.0)], "selection": selection, "scores": "s"}
    recorded = "89e3a8164e607ce40c89c45692c09213907a072b48e9ec68cc6c76a0061133b5"
    assert training_digest([record]) == recorded
