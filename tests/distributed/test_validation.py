"""Whatever fails while validation samples are drawn, in whichever process, training goes on."""

from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import open_bundle
from models.denoising import held_out_losses
from tests.support.coded_clips import build_dataset
from tests.support.training_jobs import SyntheticSource, small_config
from training.batch_source import held_out_source
from training.control import RunControl
from training.journal import Journal, read_journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.validation import Validation
from training.validation.samples import draw_samples

LOSS = ("validation.loss_every=3", "validation.loss_clips=3")
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
        pytest.param("tests.support.training_jobs.SyntheticSource.first", 0, marks=pytest.mark.slow),
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


def test_drawing_ends_after_the_sample_in_which_training_is_to_stop(tmp_path):
    config = small_config(0, "validation.count=3", "validation.sampling.steps=1")
    animator, asked = Animator(config.model).eval(), []

    def should_stop():
        asked.append(len(asked))
        return len(asked) == 2

    samples = list(draw_samples(animator, SyntheticSource(config).first(3), config, tmp_path, 7, should_stop))
    names = [f"step-00000007-{number}.mp4" for number in range(2)]
    assert [sample.path.name for sample in samples] == names
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == names
    assert asked == [0, 1]


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


def losses(trained):
    return [entry for entry in read_journal(trained.run_dir / "journal.jsonl") if entry.event == "validation"]


def check_loss(measured, plain):
    """The loss is that of the bundle's weights, and training is the same bit for bit as without it."""
    assert measured.losses == plain.losses
    expected, got = (open_bundle(each.bundle).state() for each in (plain, measured))
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    (entry,) = losses(measured)
    clips = SyntheticSource(measured.config).first(3)
    by_quantile = held_out_losses(open_bundle(measured.bundle).animator(), clips).mean(dim=0)
    figures = {f"validation/loss_q{n}": float(loss) for n, loss in enumerate(by_quantile, 1)}
    assert entry.metrics == {"validation/loss": float(by_quantile.mean()), **figures}
    assert (entry.step, entry.content["clips"], entry.content["held_out"]) == (3, 3, False)


def test_the_loss_is_that_of_the_bundles_weights_and_changes_no_bit_of_training(untroubled, train_in_pair):
    check_loss(train_in_pair(small_config(0, *LENGTH, *LOSS)), untroubled)


@pytest.mark.slow
def test_the_loss_of_weights_that_zero_3_shards(train_in_pair):
    sharded = (*LENGTH, "train.zero_stage=3", "train.image_batches=0", "validation.every=0")
    check_loss(*(train_in_pair(small_config(0, *sharded, *more)) for more in (LOSS, ())))


def test_a_loss_that_fails_is_a_warning_and_samples_are_drawn(untroubled, train_in_pair):
    failing = {"failing": "training.validation.loss.held_out_losses", "failing_rank": 0}
    trained = train_in_pair(small_config(0, *LENGTH, *LOSS, "validation.loss_every=2"), **failing)
    assert trained.losses == untroubled.losses
    assert [entry.event for entry in recorded(trained)] == ["metrics", "checkpoint", "warning", "sample"]
    assert recorded(trained)[2].content["message"] == "no validation loss: KeyError: 'out of luck'"


def test_clips_of_validation_data_are_the_same_for_every_run(tmp_path):
    url = build_dataset(tmp_path / "data", [6, 7, 8]).url
    sets = (f"validation.data={url}", "data.sampling.stride=[1, 2]", "data.sampling.flip=true")
    first, second = (
        held_out_source(small_config(2, *sets, f"seed={seed}", f"data.buckets={buckets}")).first(3)
        for seed, buckets in ((1, "[]"), (2, "[{height: 64, width: 96, frames: 4}]"))
    )
    assert first.keys == second.keys and torch.equal(first.pixels, second.pixels)
    assert first.condition_index.tolist() == [0, 0, 0]
    assert first.pixels.shape == (3, 3, 3, 64, 64)


def test_validation_data_that_does_not_exist_is_refused_before_training(tmp_path):
    config = small_config(0, "validation.data=/nowhere", "validation.loss_every=1")
    group, journal = ProcessGroup(0, 1), Journal(tmp_path / "journal.jsonl")
    with pytest.raises(AnimaticError, match="/nowhere"):
        Validation(config, RunFolder(tmp_path), None, None, group, journal, RunControl())
