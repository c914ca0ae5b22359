"""Batches are shared exactly, or refused before anything is loaded."""

import pytest

from core.errors import AnimaticError
from tests.support.training_jobs import small_config
from training.batch_shares import BatchShares, batch_shares


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
