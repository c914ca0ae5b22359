"""Runs that go back to a checkpoint after skipped steps, and on with other data."""

from pathlib import Path

import pytest
import torch

from models.bundle import open_bundle
from tests.support.process_group import WorkerError
from tests.support.training_jobs import small_config
from training.guard.dump import read_dump
from training.journal import curves, read_journal

# Steps 3 and 4 are bad in the first round of the data: then the run goes back to the checkpoint of step 2.
SETS = (
    "guard.rollback_after=2",
    "train.steps=6",
    "train.checkpoint_every=1",
    "train.ema_decay=0.5",
    "train.zero_stage=1",
)
BAD = [3, 4]


@pytest.fixture(scope="module")
def rolled_back(train_in_pair):
    return train_in_pair(small_config(0, *SETS), bad_steps=BAD)


def events(run_dir, kind):
    return [entry for entry in read_journal(run_dir / "journal.jsonl") if entry.event == kind]


def weights(run_dir):
    return open_bundle(run_dir / "bundle").state()


def test_after_skipped_steps_in_a_row_the_run_goes_back(rolled_back):
    run_dir = rolled_back.run_dir
    (back,) = events(run_dir, "rollback")
    assert (back.step, back.content["from_step"], back.content["data_round"]) == (2, 4, 1)
    assert [entry.step for entry in events(run_dir, "resume")] == [2]
    assert [entry.step for entry in events(run_dir, "warning")] == BAD
    assert [step for step, _ in curves(run_dir / "journal.jsonl")["train/loss"]] == [1, 2, 3, 4, 5, 6]
    # The steps that were skipped are no longer counted: neither is the schedule behind by them.
    assert curves(run_dir / "journal.jsonl")["train/skipped_steps"][-1] == (6, 0.0)


def test_checkpoints_of_discarded_steps_are_deleted(rolled_back):
    saved = [Path(entry.content["uri"]).name for entry in events(rolled_back.run_dir, "checkpoint")]
    # That of step 3 was written twice, each time under the plain name.
    assert saved == [f"step-{step:08d}" for step in (1, 2, 3, 3, 4, 5, 6)]


def test_every_process_keeps_what_it_skipped(rolled_back):
    for entry in events(rolled_back.run_dir, "warning"):
        dumps = [read_dump(path) for path in sorted(rolled_back.run_dir.glob(entry.content["dumps"]))]
        assert [(dump.step, dump.rank) for dump in dumps] == [(entry.step, 0), (entry.step, 1)]
        first = 4 * (entry.step - 1)
        keys = [[sample.key for sample in dump.samples] for dump in dumps]
        assert keys == [[f"clip-{first + 2 * n + rank}" for n in range(2)] for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 4])
def test_an_interrupted_run_goes_back_alike(rolled_back, train_in_pair, tmp_path, stop):
    """Interrupted among the skipped steps, or after the run went back."""
    with pytest.raises(WorkerError, match=f"at step {stop}"):
        train_in_pair(rolled_back.config, tmp_path, bad_steps=BAD, stop_after=stop)
    train_in_pair(rolled_back.config, tmp_path, bad_steps=BAD)
    expected, got = weights(rolled_back.run_dir), weights(tmp_path)
    assert all(torch.equal(value, got[name]) for name, value in expected.items())


@pytest.mark.slow
def test_data_of_another_round_that_is_no_better_ends_the_run(train_in_pair, tmp_path):
    config = small_config(0, *SETS, "guard.rollbacks=1")
    with pytest.raises(
        WorkerError, match=r"in 2 steps in a row, up to step 4, after 1 of 1 rollbacks: continue"
    ):
        train_in_pair(config, tmp_path, bad_steps=BAD, bad_rounds=2)
    assert [entry.content["keys"][0] for entry in events(tmp_path, "warning")] == [
        "clip-8",
        "clip-12",
        "clip-1000008",
        "clip-1000012",
    ]


@pytest.mark.slow
def test_a_run_that_cannot_go_back_ends(train_in_pair, tmp_path):
    config = small_config(0, *SETS, "train.checkpoint_every=5")
    with pytest.raises(
        WorkerError, match=r"has no checkpoint of before step 3: gradients .* and begin again"
    ):
        train_in_pair(config, tmp_path, bad_steps=BAD)
