"""Another objective than denoising trains, resumes and ends in a bundle, with nothing else changed."""

import pytest
import torch

from models.bundle import open_bundle
from models.denoising import latent_posteriors
from tests.support.process_group import WorkerError
from tests.support.toy_objective import run_toy
from tests.support.training_jobs import SyntheticSource, small_config, write_config
from training.journal import curves

SETTINGS = ("train.steps=4", "train.checkpoint_every=2", "optimizer.warmup_steps=0", "train.micro_batch=2")
# The objective knows no condition.
WITHOUT = "objective.condition_share=null"


def test_a_second_kind_of_objective_needs_no_other_loop(alone, tmp_path):
    config = small_config(0, *SETTINGS, WITHOUT)
    path = write_config(config, tmp_path / "config.yaml")
    with pytest.raises(WorkerError, match="at step 3"):
        alone.run(run_toy, path, str(tmp_path / "run"), {"stop_after": 3})
    (resumed,) = alone.run(run_toy, path, str(tmp_path / "run"), {})
    assert resumed["resumed_from"] == 2
    losses = [loss for _, loss in curves(tmp_path / "run" / "journal.jsonl")["train/loss"]]
    # The network begins with zeros: the first loss is that of the latents themselves.
    animator = open_bundle(tmp_path / "run" / "bundle").animator()
    latents, _ = latent_posteriors(animator, SyntheticSource(config).samples(list(range(4))))
    assert losses[0] == pytest.approx(float(latents.square().mean()), rel=1e-5)
    assert losses[-1] < losses[0] and len(losses) == 4
    assert any(torch.any(value) for value in animator.network.unet.conv_out.parameters())
