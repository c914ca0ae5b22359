"""The batches of small fixed datasets never change: a released version's runs resume in every later one."""

import itertools

import pytest

from core.canonical_json import digest_of
from pipelines.loader import Bucket, ClipLoader, ClipSampling, Weight, WeightedDataset
from tests.support.coded_clips import build_dataset

SAMPLING = ClipSampling(frames=4, height=32, width=48, stride=(1, 3), flip=True)
BUCKETS = [Bucket(height=32, width=64, frames=8, batch=2), Bucket(height=64, width=32, frames=4)]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    shapes = [(64, 96), (96, 64), (64, 96)] * 4
    opened = [
        build_dataset(folder / "a", [12, 16, 20] * 4, sizes=[3, 2, 3, 1, 3], shapes=shapes),
        build_dataset(folder / "b", [16, 9, 12, 30], sizes=[1, 3], shapes=shapes[:4]),
    ]
    for name, dataset in zip("ab", opened, strict=True):
        # What encoders write differs between their versions: the order must not depend on that here.
        dataset.info["digest"] = f"digest of {name}"
    return [WeightedDataset(opened[0], [Weight(0, 2), Weight(4, 1)]), WeightedDataset(opened[1])]


def fields(batch):
    tensors = (batch.fps, batch.condition_index, batch.drop_text, batch.drop_image, batch.seed)
    return [batch.keys, batch.captions, list(batch.pixels.shape), *(each.tolist() for each in tensors)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "838ae9df62159dd5"),
        ({"buckets": BUCKETS}, "3b26807725f7c2d3"),
        ({"rank": 1, "world_size": 2, "position": 100_000}, "c0e06e91047781bd"),
    ],
)
def test_order_and_parameters_are_those_of_the_first_version(datasets, options, expected):
    loader = ClipLoader(datasets, SAMPLING, seed=3, global_batch=4, shuffle_shards=2, **options)
    found = [fields(batch) for batch in itertools.islice(iter(loader), 12)]
    assert digest_of(found)[:16] == expected


def test_images_of_one_dataset_are_those_of_the_first_version(datasets):
    images = SAMPLING.model_copy(update={"images_only": True})
    loader = ClipLoader(datasets[0].dataset, images, seed=3, global_batch=4)
    found = [fields(batch) for batch in itertools.islice(iter(loader), 8)]
    assert digest_of(found)[:16] == "0a4f9f04531e1a8b"
