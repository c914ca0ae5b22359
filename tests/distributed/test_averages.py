"""Averaged weights that begin later than the run."""

import pytest
import torch

from models.bundle import open_bundle
from tests.support.process_group import WorkerError
from tests.support.training_jobs import small_config

AVERAGED = ("train.ema_decay=0.9", "train.ema_start=2", "train.steps=4", "train.checkpoint_every=1")


def weights(stage) -> dict[str, torch.Tensor]:
    return dict(open_bundle(stage.bundle).state())


@pytest.mark.slow
def test_a_run_with_a_later_average_ends_alike_wherever_it_is_interrupted(train_in_pair, tmp_path):
    config = small_config(0, *AVERAGED)
    whole = weights(train_in_pair(config))
    for step in (1, 3):
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(WorkerError, match=f"at step {step}"):
            train_in_pair(config, folder, stop_after=step)
        resumed = weights(train_in_pair(config, folder))
        assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    # From the first step on, the average is another one.
    early = weights(train_in_pair(small_config(0, *AVERAGED, "train.ema_start=0")))
    assert any(not torch.equal(early[name], value) for name, value in whole.items())
