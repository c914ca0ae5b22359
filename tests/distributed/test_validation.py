"""Whatever fails while validation samples are drawn, in whichever process, training goes on."""

from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from models.bundle import open_bundle
from tests.support.training_jobs import SyntheticSource, small_config
from training.control import RunControl
from training.journal import Journal, read_journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.validation import Validation
from training.validation.samples import draw_samples

LENGTH = ("train.steps=3", "train.checkpoint_every=2", "validation.every=2", "train.ema_decay=0.9")


@pytest.fixture(scope="module")
def untroubled(train_in_pair):
    return train_in_pair(small_config(0, *LENGTH))


def recorded(trained):
    return [entry for entry in read_journal(trained.run_dir / "journal.jsonl") if entry.step == 2]


def test_the_checkpoint_of_a_step_is_complete_before_its_samples_are_drawn(untroubled):
    assert [entry.event for entry in recorded(untroubled)] == ["metrics", "checkpoint", "sample"]


@pytest.mark.parametrize(
    ("failing", "rank"),
    [
        ("tests.support.training_jobs.SyntheticSource.first", 0),
        ("training.backends.deepspeed.flat_buffer", 1),
        ("training.validation.samples.animate", 0),
    ],
)
def test_a_failure_in_any_process_is_a_warning(untroubled, train_in_pair, failing, rank):
    trained = train_in_pair(untroubled.config, failing=failing, failing_rank=rank)
    assert trained.losses == untroubled.losses
    (warning,) = [entry for entry in recorded(trained) if entry.event == "warning"]
    assert "no validation samples" in warning.content["message"]
    assert "KeyError: 'out of luck'" in warning.content["message"]
    expected, got = (open_bundle(each.bundle).state() for each in (untroubled, trained))
    assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize(("device", "precision"), [("cuda", "bfloat16"), ("cpu", "float32")])
def test_samples_are_drawn_in_bf16_on_gpus(tmp_path, device, precision):
    class Drawn(Exception):
        """Ends the drawing where the network would run."""

    animator = SimpleNamespace(device=torch.device(device))
    batch = SyntheticSource(small_config(0)).first(1)
    with (
        patch("training.validation.samples.animate", side_effect=Drawn) as animate,
        pytest.raises(Drawn),
    ):
        next(draw_samples(animator, batch, small_config(0), tmp_path, 1))
    assert animate.call_args.args[3].precision == precision


def test_the_first_samples_are_read_once(tmp_path):
    calls = []
    source = SimpleNamespace(first=lambda count: calls.append(count) or count)
    config = small_config(0, "validation.every=1")
    group, journal = ProcessGroup(0, 1), Journal(tmp_path / "journal.jsonl")
    validation = Validation(config, RunFolder(tmp_path), source, None, group, journal, RunControl())
    with (
        patch("training.validation.validation.with_weights"),
        patch("training.validation.validation.draw_samples", return_value=[]) as drawn,
    ):
        for step in (1, 2, 3):
            validation.run(step, dict)
    assert calls == [config.validation.count] and drawn.call_count == 3
