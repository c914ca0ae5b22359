"""Batches are shared exactly, or refused before anything is loaded."""

import pytest

from core.errors import AnimaticError
from tests.support.training_jobs import small_config
from training.batch_shares import BatchShares, batch_shares, fitting_workers


def test_batches_that_cannot_be_shared_are_refused():
    with pytest.raises(AnimaticError, match="cannot be shared by 3 workers"):
        batch_shares(small_config(0), 3)
    with pytest.raises(AnimaticError, match="does not divide"):
        batch_shares(small_config(0, "train.global_batch=12", "train.micro_batch=4"), 2)
    assert batch_shares(small_config(0, "train.global_batch=12", "train.micro_batch=3"), 2) == BatchShares(
        3, 2
    )


def test_batches_of_buckets_are_split_into_as_many_passes_or_refused():
    sets = ("train.global_batch=8", "train.micro_batch=2")
    bucket = "data.buckets=[{{height: 32, width: 64, frames: 2, batch: {}}}]".format
    assert batch_shares(small_config(0, *sets, bucket(12)), 2) == BatchShares(2, 2)
    assert batch_shares(small_config(0, *sets, bucket("null")), 2) == BatchShares(2, 2)
    with pytest.raises(AnimaticError, match=r"batch of 6 of bucket 32x64x2 .* 2 passes .* make it 4 or 8"):
        batch_shares(small_config(0, *sets, bucket(6)), 2)


def elastic(*sets):
    return small_config(0, "train.global_batch=24", "launch.workers=8", "launch.min_workers=2", *sets)


def test_an_elastic_run_takes_more_passes_with_fewer_workers_and_never_more_samples_in_one():
    shares = {count: batch_shares(elastic(), count) for count in (8, 6, 4, 3, 2)}
    assert shares == {
        8: BatchShares(3, 1),
        6: BatchShares(2, 2),
        4: BatchShares(3, 2),
        3: BatchShares(2, 4),
        2: BatchShares(3, 4),
    }
    assert batch_shares(elastic("train.micro_batch=2"), 2) == BatchShares(2, 6)
    assert batch_shares(elastic("launch.min_workers=null"), 2) == BatchShares(12, 1)


def test_the_numbers_of_workers_of_an_elastic_run_share_the_batch_evenly():
    assert fitting_workers(elastic()) == [8, 6, 4, 3, 2]
    bucket = "data.buckets=[{height: 32, width: 64, frames: 2, batch: 8}]"
    assert fitting_workers(elastic(bucket)) == [8, 4, 2]
    with pytest.raises(AnimaticError, match=r"from launch\.min_workers 5 to launch\.workers 5 shares"):
        fitting_workers(elastic("launch.workers=5", "launch.min_workers=5"))
