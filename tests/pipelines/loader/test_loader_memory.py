"""Memory does not grow with the index: ten thousand rows or a million."""

import json
import tracemalloc
from itertools import islice

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.files import sha256
from pipelines.dataset import Dataset
from pipelines.dataset.tables import GROUP_ROWS
from pipelines.loader import ClipLoader, ClipSampling
from tests.support.coded_clips import build_dataset

SAMPLING = ClipSampling(frames=4, height=32, width=48)
MIB = 1 << 20


def grown(folder, rows):
    """A dataset of two real clips whose index lists them over and over."""
    dataset = build_dataset(folder, [12, 16])
    few = dataset.samples
    table = few.take(pa.array(np.arange(rows) % 2))
    keys = pa.array(np.char.add("clip-", np.arange(rows).astype("U8")))
    table = table.set_column(0, "key", keys)
    pq.write_table(table, folder / "samples.parquet", row_group_size=GROUP_ROWS)
    info = dataset.info
    info["counts"]["samples"] = info["shards"][0]["samples"] = rows
    info["files"]["samples.parquet"] = sha256(folder / "samples.parquet")
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return grown(tmp_path_factory.mktemp("large") / "data", 1_000_000)


def memory_used(url):
    """MiB that the dataset opened and a batch of it hold in Arrow's memory, and held at most in Python's."""
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    loader = ClipLoader(Dataset.open(url), SAMPLING, seed=0, global_batch=4)
    batches = iter(loader)
    next(batches)
    batches.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (pa.total_allocated_bytes() - held) / MIB, peak / MIB


def test_a_million_rows_take_little_more_than_ten_thousand(large, tmp_path):
    small = memory_used(str(grown(tmp_path / "data", 10_000)))
    first, again = memory_used(str(large)), memory_used(str(large))
    assert max(first[0], again[0]) < small[0] + 8
    # The rows' numbers and the arrays that select them.
    assert max(first[1], again[1]) < small[1] + 48


def test_a_remote_index_is_the_same(large, tmp_path, monkeypatch):
    memory = fsspec.filesystem("memory")
    memory.put(str(large), "/large", recursive=True)
    local = Dataset.open(large)
    monkeypatch.setenv("ANIMATIC_CACHE", str(tmp_path))
    remote = Dataset.open("memory://large")
    assert remote.samples.slice(700_000, 3).equals(local.samples.slice(700_000, 3))
    assert len(remote) == 1_000_000
    memory.rm("/large", recursive=True)


def test_batches_do_not_depend_on_how_the_index_is_held(tmp_path, monkeypatch):
    dataset = build_dataset(tmp_path / "data", [12, 16, 20])

    def keys():
        loader = ClipLoader(Dataset.open(dataset.url), SAMPLING, seed=0, global_batch=2)
        return [batch.keys for batch in islice(iter(loader), 4)]

    expected = keys()
    monkeypatch.setattr("pipelines.dataset.rows.HELD_ROWS", 0)
    assert keys() == expected
