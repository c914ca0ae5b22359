"""The subject motion of samples: of the frames that are drawn, or unspecified for a share of them."""

import itertools
import math
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import write_column
from pipelines.loader import ClipLoader, ClipSampling, WeightedDataset
from pipelines.takedown import take_down
from tests.support.coded_clips import build_dataset
from tests.support.motion import with_motion
from training.batch_source import DatasetSource, takedowns_of
from training.config import RunConfig, resolve

# Clips of 12 frames a second, measured every 2 frames: the first speeds up, the second has no value.
COURSES = [[6.0, 6.0, 12.0, 24.0, 24.0, 24.0], None, [3.0] * 6]
PLAIN = ClipSampling(frames=3, height=32, width=48, stride=(1, 2))
SAMPLING = PLAIN.model_copy(update={"motion_condition": True, "drop_motion": 0.0})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = build_dataset(tmp_path_factory.mktemp("data") / "d", [12] * 3)
    with_motion(dataset, COURSES)
    return dataset


def batches(dataset: Dataset, sampling: ClipSampling, count: int = 12, seed: int = 0) -> list:
    source = WeightedDataset(dataset, motion_condition=sampling.motion_condition)
    loader = ClipLoader([source], sampling, seed=seed, global_batch=3)
    return list(itertools.islice(iter(loader), count))


def by_key(found: list) -> dict[str, list[float]]:
    motion: dict[str, list[float]] = {}
    for batch in found:
        for key, value in zip(batch.keys, batch.motion.tolist(), strict=True):
            motion.setdefault(key, []).append(value)
    return motion


def test_motion_is_that_of_the_drawn_frames_at_their_stride(measured: Dataset) -> None:
    found = batches(measured, SAMPLING)
    motion = by_key(found)
    assert all(math.isnan(value) for value in motion["clip-0001"])
    # 3 % a second is a quarter of a percent in a frame of the clip, twice that at stride 2.
    strides = {12.0: 1, 6.0: 2}
    expected = [
        3 / 12 * strides[fps]
        for batch in found
        for key, fps in zip(batch.keys, batch.fps.tolist(), strict=True)
        if key == "clip-0002"
    ]
    assert motion["clip-0002"] == pytest.approx(expected)
    assert set(expected) == {0.25, 0.5}
    assert len(set(motion["clip-0000"])) > 4
    assert min(motion["clip-0000"]) >= 0.5 - 1e-6 and max(motion["clip-0000"]) <= 4 + 1e-6


def test_motion_changes_nothing_else_about_samples(measured: Dataset) -> None:
    for plain, conditioned in zip(batches(measured, PLAIN, 4), batches(measured, SAMPLING, 4), strict=True):
        assert plain.motion is None
        assert (plain.keys, plain.captions) == (conditioned.keys, conditioned.captions)
        for name in ("pixels", "fps", "condition_index", "drop_text", "drop_image", "seed"):
            assert torch.equal(getattr(plain, name), getattr(conditioned, name))


def test_a_share_of_samples_is_unspecified_by_seed_epoch_and_key(measured: Dataset) -> None:
    half = SAMPLING.model_copy(update={"drop_motion": 0.5})
    first, again, other = (by_key(batches(measured, half, 40, seed)) for seed in (0, 0, 1))
    dropped = {key: [math.isnan(value) for value in values] for key, values in first.items()}
    assert dropped == {key: [math.isnan(value) for value in values] for key, values in again.items()}
    assert dropped["clip-0002"] != [math.isnan(value) for value in other["clip-0002"]]
    assert 10 <= sum(dropped["clip-0002"]) <= 30
    kept = by_key(batches(measured, SAMPLING, 40))["clip-0000"]
    assert all(
        value == whole for value, whole in zip(first["clip-0000"], kept, strict=True) if value == value
    )
    everything = SAMPLING.model_copy(update={"drop_motion": 1.0})
    assert all(math.isnan(value) for value in by_key(batches(measured, everything, 3))["clip-0002"])


def conditioned(dataset: Dataset, *sets: str) -> RunConfig:
    size = ["model.frames=3", "model.height=32", "model.width=32", "data.sampling.stride=[1,2]"]
    return resolve(
        0, "tiny", [*size, f"data.dataset={dataset.url}", "model.unet.motion_condition=true", *sets]
    )


def test_the_data_of_a_run_has_the_digest_of_its_motion(measured: Dataset, tmp_path: Path) -> None:
    plain = DatasetSource(conditioned(measured, "model.unet.motion_condition=false"))
    source = DatasetSource(conditioned(measured))
    assert plain.digest == measured.digest and source.digest != plain.digest
    assert "motion" not in plain.datasets[0] and len(source.datasets[0]["motion"]) == 64
    assert source.first(3).motion is not None
    other = build_dataset(tmp_path / "d", [12] * 3)
    assert other.digest == measured.digest
    with_motion(other, [[1.0] * 6] * 3)
    assert DatasetSource(conditioned(other)).digest == source.digest  # of the same measurement
    with_motion(other, [[1.0]] * 3, method="n")
    assert DatasetSource(conditioned(other)).digest != source.digest


def test_a_takedown_is_recognised(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "d", [12] * 4, sizes=[2, 2])
    with_motion(dataset, [[1.0] * 6] * 4)
    before = DatasetSource(conditioned(dataset)).digest
    take_down(dataset.url, ["3"], date="2026-11-26T12:00:00+00:00")
    after = DatasetSource(conditioned(Dataset.open(dataset.url)))
    assert after.digest != before and before in takedowns_of(after)


def test_a_dataset_without_the_column_is_refused(tmp_path: Path) -> None:
    dataset = build_dataset(tmp_path / "d", [12] * 2)
    missing = r"no column subject_motion_course .*run `animatic score .* --metrics subject_motion`"
    with pytest.raises(AnimaticError, match=missing):
        DatasetSource(conditioned(dataset))
    write_column(
        dataset, "subject_motion_course", pa.array([1.0, 2.0], pa.float32()), {"dataset": dataset.digest}
    )
    with pytest.raises(AnimaticError, match=r"not lists of numbers: run `animatic score .* subject_motion`"):
        DatasetSource(conditioned(dataset))
