"""A run knows the digests that its data had before videos were taken down, whatever it selects and mixes."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.dataset import Dataset
from pipelines.dataset.columns import CLIP_SIMILARITY, write_column
from pipelines.takedown import take_down
from tests.support.coded_clips import build_dataset
from training.batch_source import DatasetSource, takedowns_of
from training.config import RunConfig, resolve

FIRST, SECOND = "2026-11-26T12:00:00+00:00", "2026-11-27T12:00:00+00:00"
SIZE = ("model.height=32", "model.width=48", "model.frames=4")


@pytest.fixture
def data(tmp_path: Path) -> list[Dataset]:
    datasets = [build_dataset(tmp_path / name, [12] * 4, sizes=[2, 2]) for name in ("one", "two")]
    for dataset in datasets:
        for name in (CLIP_SIMILARITY, "flow"):
            values = pa.array([1.0] * 4, pa.float32())
            write_column(dataset, name, values, {"dataset": dataset.digest, "model": "CLIP"})
    return datasets


def config(data: list[Dataset], *sets: str) -> RunConfig:
    other = f"data.others=[{{dataset: {data[1].url}, weight: 2}}]"
    return resolve(3, "tiny", [*SIZE, f"data.dataset={data[0].url}", other, *sets])


@pytest.mark.parametrize(
    "selection",
    [[], ["data.selection.min_clip_similarity=0.5"], ["data.selection.min.flow=0.5"]],
    ids=["all clips", "by scores", "by a column"],
)
def test_each_takedown_ends_a_state_of_the_mixture(data: list[Dataset], selection: list[str]) -> None:
    chosen = config(data, *selection)
    states = [DatasetSource(chosen).digest]
    assert takedowns_of(DatasetSource(chosen)) == {}
    take_down(data[0].url, ["3"], date=FIRST)
    states.append(DatasetSource(chosen).digest)
    take_down(data[1].url, ["0"], date=SECOND)
    source = DatasetSource(chosen)
    assert len({*states, source.digest}) == 3
    assert takedowns_of(source) == {states[0]: FIRST, states[1]: SECOND}
