"""The loader at its limits: threads, failures in a row, ends of epochs, infinite weights, unfit latents."""

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.latent_records import SCHEMA, LatentKey, LatentsRecord
from pipelines.dataset.latents import Latents
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.loader import ClipLoader, ClipSampling, WeightedDataset, sample_reader
from pipelines.loader.clip_store import ClipStore
from pipelines.loader.mixture import Mixture
from pipelines.loader.row_set import RowSet
from pipelines.loader.sample_reader import check_latents
from pipelines.loader.sample_stream import SampleStream
from pipelines.loader.sampling import draw_params
from pipelines.loader.shuffle import GlobalOrder
from tests.support.coded_clips import build_dataset

SAMPLING = ClipSampling(frames=2, height=32, width=48)
IMAGES = SAMPLING.model_copy(update={"images_only": True})


def test_no_more_threads_decode_than_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = build_dataset(tmp_path / "data", [6] * 8)
    decoding: list[int] = []
    read_clip = sample_reader.read_clip

    def noted(*arguments: Any) -> Any:
        decoding.append(threading.get_ident())
        return read_clip(*arguments)

    monkeypatch.setattr(sample_reader, "read_clip", noted)
    batches = iter(ClipLoader(dataset, SAMPLING, seed=1, global_batch=8, threads=1))
    list(itertools.islice(batches, 2))
    assert len(decoding) >= 16
    assert len(set(decoding)) == 1


def test_sixteen_substitutes_are_tried(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "data", [6] * 20, lambda _, mp4: mp4[:100])
    with pytest.raises(AnimaticError, match="17 samples in a row cannot be decoded"):
        next(iter(ClipLoader(dataset, SAMPLING, seed=1, global_batch=1)))


def test_shards_are_prepared_once_where_threads_cross_the_end_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[int] = []
    monkeypatch.setattr(ShardFiles, "prepare", lambda files, number: prepared.append(number))
    dataset = build_dataset(tmp_path / "data", [6] * 8, sizes=[1] * 8)
    store = ClipStore(WeightedDataset(dataset), 8, CacheConfig(folder=str(tmp_path / "cache")))
    stream = SampleStream(store, SAMPLING, RowSet.of(np.ones(8, np.bool_)), seed=1)
    for last_of_epoch in (5, 13, 21):  # shards are prepared two samples ahead
        before = len(prepared)
        for position in (last_of_epoch, last_of_epoch + 1) * 3:
            stream.prepare(position)
        assert len(prepared) == before + 2


def test_an_infinite_weight_is_refused() -> None:
    with pytest.raises(AnimaticError, match="weights of datasets"):
        Mixture({0: [1.0, float("inf")]}, seed=0)


def test_a_sample_of_stage_one_is_one_frame_and_its_own_condition() -> None:
    params = draw_params(IMAGES, 0, 0, "key", clip_frames=1, clip_fps=12.0)
    assert (params.frame_indices, params.condition_index, params.fps) == ([0], 0, 12.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"height": 40}, "another height"),
        ({"width": 40}, "another width"),
        ({"clips": False}, "another choice of clips or stills"),
    ],
)
def test_latents_that_lack_what_samples_need_are_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    check_latents(_latents(tmp_path), SAMPLING)
    check_latents(_latents(tmp_path, clips=False), IMAGES)
    with pytest.raises(AnimaticError, match=message):
        check_latents(_latents(tmp_path, **changed), SAMPLING)


def _latents(folder: Path, **changed: Any) -> Latents:
    values = {"height": 32, "width": 48, "codec": "c", "text": None, "clips": True, "precision": "float32"}
    info: LatentsRecord = {
        "format": 1,
        "dataset": "d",
        "config": LatentKey.model_validate(values | changed).identity(),
        "counts": {"samples": 0, "encoded": 0, "failed": 0},
        "shards": [],
        "files": {},
        "digest": "l",
    }
    return Latents(Folder(folder), info, SCHEMA.empty_table())


def test_two_windows_hold_other_shards_in_each_epoch() -> None:
    order = GlobalOrder([1] * 8, "digest", seed=1, window=4)
    first_windows = {frozenset(order.at(epoch * 8 + n).sample for n in range(4)) for epoch in range(6)}
    assert len(first_windows) > 3


def test_a_dataset_opened_without_weights_has_one_from_step_0(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [6] * 2)
    assert list(WeightedDataset.open(tmp_path / "data").weights) == [(0, 1.0)]
