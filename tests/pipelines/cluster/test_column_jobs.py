"""Jobs that compute columns: nothing is stored for a dataset that was changed while they ran."""

from pathlib import Path

import pyarrow as pa
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.cluster.column_jobs import WantedColumn, make_columns
from pipelines.cluster.shard_jobs import ShardJob, ShardTask
from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column, stored_columns, write_unit_values
from pipelines.dataset.dataset_record import read_dataset_record, write_dataset_record
from tests.support.coded_clips import build_dataset

LENGTHS = WantedColumn("length", pa.float32(), {"method": "1"})


class Measuring:
    """Stores the length of each key; with ``changes`` the dataset gets another digest meanwhile."""

    def __init__(self, url: str, changes: bool) -> None:
        self._folder, self._changes = Folder(url), changes

    def ready(self) -> None:
        pass

    def make(self, task: ShardTask[dict[str, str]]) -> int:
        values = [float(len(row["key"])) for row in task.rows]
        write_unit_values(self._folder, "length", task.number, task.shard, LENGTHS.digest, [*values])
        if self._changes:
            info = read_dataset_record(self._folder)
            config = {**info["config"], "changed": task.number}
            write_dataset_record(self._folder, config, info["counts"], list(info["shards"]), info["files"])
        return len(task.rows)


def made(dataset: Dataset, changes: bool) -> int:
    job = ShardJob(dataset=dataset.url, workers=0)
    arguments = (dataset.url, changes)
    return make_columns(
        job, dataset, [LENGTHS], Measuring, arguments, columns=["key"], progress=lambda done, total: None
    )


def test_a_column_is_computed_once(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "data", [9, 9, 9], sizes=[2, 1])
    assert [made(dataset, False), made(dataset, False)] == [2, 0]
    lengths = [len(key) for key in dataset.samples["key"].to_pylist()]
    assert read_column(dataset, "length").values.to_pylist() == lengths


def test_nothing_is_stored_for_a_dataset_that_was_changed_meanwhile(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "data", [9, 9, 9], sizes=[2, 1])
    for changes in (True, False):  # while the job runs, and before it begins
        with pytest.raises(AnimaticError, match="was changed meanwhile"):
            made(dataset, changes)
        assert stored_columns(dataset.folder) == []
    assert made(Dataset.open(dataset.url), False) == 0  # its shards are those before
