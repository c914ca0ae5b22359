"""One run in which settings of the loop differ from their defaults, and what each of them changes."""

import pytest
import torch

from models.bundle import open_bundle
from models.network.parameter_names import internal_state
from tests.support.training_jobs import small_config
from training.checkpoints import read_manifest
from training.guard.dump import read_dump
from training.initialisation import initialise
from training.journal import read_journal
from training.trainable import kind_of

SETS = (
    "train.steps=12",
    "train.checkpoint_every=3",
    "train.keep_checkpoints=1",
    "train.keep_every=6",
    "train.log_every=3",
    "train.bundle_dtype=bf16",
    "train.ema_decay=0.5",
    "train.ema_start=11",
    "train.image_batches=1",
    "optimizer.weight_decay=0",
    "guard.spike_mad=0.1",
    "guard.window=8",
)


@pytest.fixture(scope="module")
def trained(train_in_pair):
    return train_in_pair(small_config(0, *SETS))


def steps_of(trained, event):
    return [entry.step for entry in read_journal(trained.run_dir / "journal.jsonl") if entry.event == event]


def test_checkpoints_are_saved_and_kept_as_configured(trained):
    assert steps_of(trained, "checkpoint") == [3, 6, 9, 12]
    kept = sorted(path.name for path in (trained.run_dir / "checkpoints").iterdir())
    assert kept == ["step-00000006", "step-00000012"]


def test_checkpoints_contain_the_state_of_the_average_and_of_the_guard(trained):
    counters = read_manifest(trained.run_dir / "checkpoints" / "step-00000012").counters
    # Of an average that begins later than the run, whether it has begun.
    assert counters["ema/begun"] is True
    assert counters["guard/round"] == counters["guard/rollbacks"] == 0


def test_metrics_are_logged_as_configured(trained):
    assert steps_of(trained, "metrics") == [3, 6, 9, 12]


def test_steps_on_images_train_the_spatial_layers_alone_and_the_bundle_has_the_chosen_type(trained):
    start, bundle = initialise(trained.config)[1].weights, open_bundle(trained.bundle)
    end = internal_state(bundle.info.architecture, bundle.state())
    assert {value.dtype for value in end.values()} == {torch.bfloat16}
    changed = {kind_of(name) for name, value in end.items() if not torch.equal(value, start[name].bfloat16())}
    assert changed == {"spatial"}


def test_steps_whose_loss_is_above_the_limit_are_skipped(trained):
    """So small a number of deviations that about half of the usual losses are."""
    dumps = [read_dump(path) for path in (trained.run_dir / "guard").iterdir()]
    assert dumps and {dump.step for dump in dumps} <= {9, 10, 11, 12}
    assert all(dump.limit is not None and dump.loss > dump.limit for dump in dumps)
