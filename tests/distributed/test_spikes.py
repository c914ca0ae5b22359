"""A run skips the steps whose loss is above the limit that follows from the losses of the steps before."""

import pytest

from tests.support.process_group import WorkerError
from tests.support.training_jobs import small_config
from training.guard.window import LossWindow
from training.journal import curves, read_journal

pytestmark = pytest.mark.slow
SETS = (
    "train.steps=14",
    "train.checkpoint_every=10",
    "train.max_skipped=99",
    "guard.spike_mad=0.5",
    "guard.window=8",
)


@pytest.fixture(scope="module")
def spiky(train_in_pair):
    """So small a number of deviations that usual losses are spikes."""
    return train_in_pair(small_config(0, *SETS))


def skipped(run_dir):
    return [entry.step for entry in read_journal(run_dir / "journal.jsonl") if entry.event == "warning"]


def test_steps_are_skipped_by_the_losses_before_them(spiky):
    window, expected = LossWindow(8, 0.5), []
    for step, loss in curves(spiky.run_dir / "journal.jsonl")["train/loss"]:
        if window.limit is not None and loss > window.limit:
            expected.append(step)
        else:
            window.add(loss)
    assert skipped(spiky.run_dir) == expected
    assert 0 < len(expected) < 6


def test_a_resumed_run_skips_the_same_steps(spiky, train_in_pair, tmp_path):
    with pytest.raises(WorkerError, match="at step 11"):
        train_in_pair(spiky.config, tmp_path, stop_after=11)
    resumed = train_in_pair(spiky.config, tmp_path)
    assert set(skipped(tmp_path)) == set(skipped(spiky.run_dir))
    assert resumed.losses == {step: loss for step, loss in spiky.losses.items() if step > 10}
