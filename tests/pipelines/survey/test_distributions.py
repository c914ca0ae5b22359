"""Distributions count at every limit what training with that limit uses, and so does a choice of limits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from pipelines.dataset.rows import HeldRows
from pipelines.loader import Selection, WeightedDataset
from pipelines.survey import Spans, count_kept, distributions, draw_clips, parse_limits, survey
from tests.support.coded_clips import build_dataset

COUNT = 90


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Columns with many values, with equal and missing ones; texts; a column of an earlier state."""
    made = build_dataset(
        tmp_path_factory.mktemp("columns") / "data", [2 + n % 5 for n in range(COUNT)], sizes=[50, 40]
    )
    rng, source = np.random.default_rng(0), {"dataset": made.digest}
    scores = rng.normal(5, 1, COUNT).astype(np.float32)
    write_column(made, "aesthetic", pa.array(scores, mask=rng.random(COUNT) < 0.2), source)
    write_column(made, "tenths", pa.array((rng.integers(0, 10, COUNT) / 10).astype(np.float32)), source)
    write_column(made, "nothing", pa.nulls(COUNT, pa.float32()), source)
    write_column(made, "blur", pa.array(scores), {"dataset": "of yesterday"})
    write_column(made, "licence", pa.array([("CC0", "CC-BY", None)[n % 3] for n in range(COUNT)]), source)
    write_column(made, "better", pa.array([f"words {'more ' * (n % 4)}{n}" for n in range(COUNT)]), source)
    return made


def used(dataset: Dataset, **limits: dict[str, float]) -> int:
    """Clips that training uses; it refuses to use none."""
    try:
        return len(WeightedDataset(dataset, selection=Selection(**limits)).selected())
    except AnimaticError:
        return 0


def test_every_limit_keeps_what_training_uses(dataset: Dataset) -> None:
    found = {each.name: each for each in distributions(dataset)}
    assert {"duration", "frames", "aesthetic", "tenths"} <= found.keys()
    assert found.keys().isdisjoint({"nothing", "blur", "licence", "condition_frame", "jpg_size"})
    for name in ("duration", "frames", "aesthetic", "tenths"):
        column = found[name]
        assert column.limits == sorted(set(column.limits))
        for limit, least, most in zip(column.limits, column.at_least, column.at_most, strict=True):
            assert least.clips == used(dataset, min={name: limit}), (name, limit)
            assert most.clips == used(dataset, max={name: limit}), (name, limit)
    assert found["tenths"].limits == [n / 10 for n in range(10)]
    assert 5 < len(found["aesthetic"].limits) <= 64
    assert found["aesthetic"].clips == used(dataset, min={"aesthetic": -100})


def test_time_and_rows_are_those_of_the_kept_clips() -> None:
    spans = Spans(np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 0, 1, 2]))
    kept = spans.kept(np.array([True, True, False, True]))
    assert (kept.clips, kept.seconds, kept.rows) == (3, 11.0, 2)
    assert (spans.whole.clips, spans.whole.seconds, spans.whole.rows) == (4, 15.0, 3)


def test_several_clips_of_a_row_are_one_row(tmp_path: Path) -> None:
    made = build_dataset(tmp_path / "data", [2, 2, 4, 6])
    ids = pa.array(["a", "a", "b", "a"])
    place = made.samples.schema.get_field_index("source_id")
    samples = made.samples.set_column(place, made.samples.schema.field(place), pa.chunked_array([ids]))
    frames = next(
        each
        for each in distributions(Dataset(made.folder, made.info, HeldRows(samples)))
        if each.name == "frames"
    )
    assert frames.limits == [2, 4, 6]
    assert [kept.rows for kept in frames.at_least] == [3, 2, 1]
    assert [kept.rows for kept in frames.at_most] == [1, 2, 3]
    assert [kept.seconds for kept in frames.at_most] == pytest.approx([4 / 12, 8 / 12, 14 / 12])


def test_limits_together_and_alone(dataset: Dataset) -> None:
    found = count_kept(dataset, parse_limits(" aesthetic>=4.5, tenths<=0.7,tenths>=0.1"))
    limits = {"min": {"aesthetic": 4.5, "tenths": 0.1}, "max": {"tenths": 0.7}}
    assert found.together.clips == used(dataset, **limits)
    assert 0 < found.together.clips < min(kept.clips for kept in found.alone.values())
    assert found.alone["tenths<=0.7"].clips == used(dataset, max={"tenths": 0.7})
    assert found.settings == [
        "data.selection.min.aesthetic=4.5",
        "data.selection.min.tenths=0.1",
        "data.selection.max.tenths=0.7",
    ]
    assert count_kept(dataset, parse_limits("aesthetic>=1000")).together.clips == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no limit: write COLUMN>=NUMBER"),
        ("aesthetic>4", "'aesthetic>4' is no limit"),
        ("aesthetic>=much", "is no limit"),
        ("aesthetic>=1,aesthetic>=2", "aesthetic has two limits of one kind"),
        ("aesthetic>=nan", "min.aesthetic"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, message: str) -> None:
    with pytest.raises(AnimaticError, match=message):
        parse_limits(text)


def test_a_limit_on_a_column_that_cannot_be_compared_is_refused(dataset: Dataset) -> None:
    for text, message in (
        ("beauty>=1", "no column 'beauty'"),
        ("licence>=1", "has no numbers to compare"),
        ("blur>=1", "is of an earlier state"),
    ):
        with pytest.raises(AnimaticError, match=message):
            count_kept(dataset, parse_limits(text))


def test_columns_of_texts_are_captions_or_labels(dataset: Dataset) -> None:
    found = survey(dataset)
    assert [(label.name, label.clips) for label in found.labels] == [
        ("licence", {"CC0": 30, "CC-BY": 30, "none": 30})
    ]
    table, better = found.captions
    assert (table.name, table.without, table.words) == ("caption", 0, [2, 2, 2])
    assert (better.name, better.words, better.examples) == (
        "better",
        [2, 3, 5],
        ["words 0", "words 44", "words more 89"],
    )
    assert found.stale == ["blur"]
    assert {"aesthetic", "tenths"} <= {chart.name for chart in found.histograms}


def test_drawn_clips_have_the_values_of_one_row_each(dataset: Dataset) -> None:
    few, every = (draw_clips(dataset, ["aesthetic", "frames"], count) for count in (20, 1000))
    assert (few.of, len(few.seconds), len(every.seconds)) == (COUNT, 20, COUNT)
    clips = set(zip(every.seconds, every.values["frames"], every.values["aesthetic"], strict=True))
    assert set(zip(few.seconds, few.values["frames"], few.values["aesthetic"], strict=True)) <= clips
    known = [value for value in every.values["aesthetic"] if value is not None]
    assert sum(value >= 4.5 for value in known) == used(dataset, min={"aesthetic": 4.5})
