"""Large tables are read in parts, with the same content, order and errors as small ones in memory."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dataset import Dataset
from pipelines.dataset.rows import StoredRows
from pipelines.dataset.shard_list import ShardList
from pipelines.loader.row_set import RowSet, RowSetBuilder
from tests.bench.scale import located
from tests.bench.simulated import simulate

SAMPLES = 70_000
# Keys by rank, position, buckets and whether a selection leaves clips out, as versions before tables were
# read in parts gave them.
RECORDED = {
    (0, 0, 1, False): ["1000018219-000", "1000026832-000", "1000033965-000", "1000054078-000"],
    (1023, 17, 3, True): ["1000030717-000", "1000049344-000", "1000040322-000", "1000013307-000"],
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(folder, SAMPLES)
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMATIC_CACHE", str(tmp_path / "cache"))


def test_cells_and_batches_are_those_of_the_whole_table(simulated: Path) -> None:
    rows = Dataset.open(simulated).rows
    assert isinstance(rows, StoredRows)
    whole = rows.table()
    for row in (0, 1023, 1024, 32_767, 32_768, SAMPLES - 1):
        assert rows.cells(row, ["key", "frames", "rungs"]) == {
            name: whole[name][row].as_py() for name in ("key", "frames", "rungs")
        }
    assert rows.cells(5, ["caption"])["caption"] == whole["caption"][5].as_py()
    assert pa.Table.from_batches(rows.batches(["key", "fps"])).equals(whole.select(["key", "fps"]))
    again = pickle.loads(pickle.dumps(rows))
    assert again.cells(40_000, ["key"]) == rows.cells(40_000, ["key"])
    for outside in (-1, SAMPLES):
        with pytest.raises(IndexError, match="outside"):
            rows.cells(outside, ["key"])


@pytest.mark.parametrize(("buckets", "selects"), [(1, False), (3, True)])
def test_samples_are_the_same_however_tables_are_held(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buckets: int, selects: bool
) -> None:
    def keys() -> list[str]:
        starts = [(0, 0), (1023, 17)]  # rank, position
        return [
            key
            for rank, position in starts
            for key in located(str(simulated), str(tmp_path), rank, position, buckets, selects)
        ]

    in_parts = keys()
    for name in ("rows", "columns"):
        monkeypatch.setattr(f"pipelines.dataset.{name}.HELD_ROWS", SAMPLES)
    monkeypatch.setattr("pipelines.dataset.dataset.HELD_SHARDS", 1)
    assert keys() == in_parts
    assert len(set(in_parts)) > 10


def test_the_order_is_the_recorded_one(simulated: Path, tmp_path: Path) -> None:
    for (rank, position, buckets, selects), recorded in RECORDED.items():
        assert located(str(simulated), str(tmp_path), rank, position, buckets, selects)[:4] == recorded


def test_a_list_of_shards_has_their_records(simulated: Path) -> None:
    shards = Dataset.open(simulated).info["shards"]
    compact = ShardList(shards)
    assert list(compact) == list(shards) and len(compact) == len(shards)
    assert compact[3] == shards[3] and compact[-1] == shards[-1] and compact[1:3] == list(shards[1:3])
    assert compact.named(shards[5]["name"]) == shards[5]
    assert compact.samples.sum() == SAMPLES
    with pytest.raises(KeyError):
        compact.named("shard-999999.tar")


@pytest.mark.parametrize("size", [0, 1, 8, 511, 512, 513, 5000])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_set_of_rows_is_the_mask_that_it_was_built_from(size: int, share: float) -> None:
    draw = np.random.default_rng(size)
    mask = draw.random(size) < share
    builder = RowSetBuilder()
    for part in np.split(mask, np.sort(draw.integers(0, size + 1, 4))):
        builder.add(part)
    rows, expected = builder.built(), np.flatnonzero(mask)
    assert list(rows) == expected.tolist() and len(rows) == len(expected)
    assert list(RowSet.all(size)) == list(range(size))
    assert list(rows & RowSet.of(mask[::-1])) == np.flatnonzero(mask & mask[::-1]).tolist()
    ends = np.sort(draw.integers(0, size + 1, 20))
    assert rows.before(ends).tolist() == np.searchsorted(expected, ends).tolist()
    start, stop = np.sort(draw.integers(0, size + 1, 2)).tolist()
    assert rows.mask(start, stop).tolist() == mask[start:stop].tolist()
    assert [row in rows for row in range(size)] == mask.tolist()
