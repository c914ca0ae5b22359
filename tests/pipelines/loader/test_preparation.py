"""Shards are prepared before they are needed, each once an epoch; the cache holds a window and the next."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.loader import ClipLoader, ClipSampling, WeightedDataset
from pipelines.loader.clip_store import ClipStore
from pipelines.loader.row_set import RowSet
from pipelines.loader.sample_stream import SampleStream
from tests.support.coded_clips import build_dataset

SAMPLING = ClipSampling(frames=2, height=32, width=48)
SHARDS, SIZE, WINDOW = 16, 4, 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "shards"
    return build_dataset(folder, [6] * SHARDS * SIZE, sizes=[SIZE] * SHARDS)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the shards in the order in which they are prepared; nothing is read."""
    numbers: list[int] = []
    monkeypatch.setattr(ShardFiles, "prepare", lambda files, number: numbers.append(number))
    return numbers


def stream_of(dataset: Dataset, tmp_path: Path) -> SampleStream:
    store = ClipStore(WeightedDataset(dataset), WINDOW, CacheConfig(folder=str(tmp_path)))
    return SampleStream(store, SAMPLING, RowSet.of(np.ones(len(dataset), np.bool_)), seed=1)


def test_the_shard_of_a_sample_is_prepared_a_quarter_of_a_window_before_it(
    dataset: Dataset, tmp_path: Path, prepared: list[int]
) -> None:
    stream = stream_of(dataset, tmp_path)
    ahead = WINDOW * SIZE // 4
    for position in range(3 * len(dataset)):
        stream.prepare(position)
        if position >= ahead:
            key = stream.load(position).key
            assert int(key.removeprefix("clip-")) // SIZE in prepared
        needed = int(stream.load(position + ahead).key.removeprefix("clip-")) // SIZE
        assert needed in prepared[-2 * WINDOW :]


def test_a_shard_is_prepared_once_an_epoch(dataset: Dataset, tmp_path: Path, prepared: list[int]) -> None:
    stream = stream_of(dataset, tmp_path)
    ahead = WINDOW * SIZE // 4
    for epoch in range(4):
        for position in range(len(dataset)):
            stream.prepare(epoch * len(dataset) + position - min(ahead, epoch * ahead))
    epochs = [prepared[start : start + SHARDS] for start in range(0, len(prepared) - SHARDS + 1, SHARDS)]
    assert all(sorted(epoch) == list(range(SHARDS)) for epoch in epochs[1:])
    assert len(prepared) <= 4 * SHARDS + WINDOW


def test_the_cache_must_hold_a_window_and_a_half(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset.folder.local_path), "/prepared", recursive=True)
    remote = Dataset.open("memory://prepared")
    total = sum(shard["bytes"] for shard in remote.info["shards"])
    cache = CacheConfig(folder=str(tmp_path))

    def needed(opened: Dataset, window: int) -> float:
        return ClipStore(WeightedDataset(opened), window, cache).cached_bytes

    assert needed(dataset, WINDOW) == 0
    assert needed(remote, WINDOW) == total * WINDOW / SHARDS * 1.5
    assert needed(remote, SHARDS - 4) == needed(remote, 2 * SHARDS) == total
    small = CacheConfig(folder=str(tmp_path), gigabytes=(total * 0.37) / 1e9)
    with pytest.raises(AnimaticError, match=r"raise data\.cache\.gigabytes or lower data\.shuffle_shards"):
        ClipLoader(remote, SAMPLING, seed=1, global_batch=2, cache=small, shuffle_shards=WINDOW)
    memory.rm("/prepared", recursive=True)
